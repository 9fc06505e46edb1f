//go:build peers

package check

import (
	"path/filepath"
	"testing"

	"evenkeel.dev/test/peer"
)

// A file of promtool would say something else here than there, or be no file of promtool at all.
func TestPeersPromtoolAgrees(t *testing.T) {
	promtool := filepath.Join(filepath.Dir(peer.DebianPrometheus(t)), "promtool")
	file, err := filepath.Abs("../../cmd/evenkeel/testdata/test/promtool.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{promtool, "test", "rules", file}, {peer.Binary(t), "test", file}} {
		if out, errs, code := peer.RunCommand(t, args[0], args[1:]...); code != 0 {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
	}
}
