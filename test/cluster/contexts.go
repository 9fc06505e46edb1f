package cluster

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Contexts writes kubeconfigs of several clusters so that each has a context of the name that stands for it here, and returns what the environment
// variable KUBECONFIG must be. The harness itself calls everything context, cluster and user.
func Contexts(tb testing.TB, kubeconfigs map[string]string) string {
	tb.Helper()
	var files []string
	for _, name := range slices.Sorted(maps.Keys(kubeconfigs)) {
		text, err := os.ReadFile(kubeconfigs[name])
		must(tb, err)
		mine := filepath.Join(tb.TempDir(), name)
		must(tb, os.WriteFile(mine, []byte(strings.NewReplacer("name: context", "name: "+name, "current-context: context", "current-context: "+name,
			"cluster: cluster", "cluster: "+name, "name: cluster", "name: "+name, "user: user", "user: "+name, "name: user", "name: "+name).Replace(string(text))), 0o600))
		files = append(files, mine)
	}
	return strings.Join(files, ":")
}
