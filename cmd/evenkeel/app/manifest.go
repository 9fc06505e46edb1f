package app

import (
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"text/template"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
)

// manifestLabel marks what the manifest of an agent makes; its value is the cluster's name.
const manifestLabel = "evenkeel.dev/attach"

//go:embed agent.yaml.tmpl
var agentTemplate string

// manifestData fills the template. Every text in it is written as JSON, which is YAML, so that none can become more than a text.
type manifestData struct {
	Cluster, Token, Namespace, Label string
	Image, Storage, Class            string
	CA                               string
	Args                             []string
	Ports                            []int // of the hub, and of API servers
}

var (
	imageForm = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9./_:@-]{0,254}$`)
	sizeForm  = regexp.MustCompile(`^[1-9][0-9]{0,5}(Mi|Gi)$`)
)

// manifest writes what runs an agent in a cluster. Without a token its Secret says so.
func manifest(cluster, token, nats string, q *console.ManifestRequest) (string, error) {
	d := manifestData{Cluster: cluster, Token: token, Namespace: q.Namespace, Label: manifestLabel, Image: q.Image, Storage: q.Storage, Class: q.Class}
	if d.Namespace == "" {
		d.Namespace = "evenkeel-system"
	}
	if d.Storage == "" {
		d.Storage = "1Gi"
	}
	if d.Token == "" {
		d.Token = "DRY-RUN"
	}
	hub, err := url.Parse(q.Hub)
	if hint := mesh.LabelHint(d.Namespace); hint != "" {
		return "", fmt.Errorf("namespace %q is no DNS label: %s", d.Namespace, hint)
	}
	switch {
	case err != nil || hub.Host == "" || hub.User != nil || hub.Scheme != "https" && hub.Scheme != "http":
		return "", errors.New("hub: write the https URL at which the cluster reaches this engine")
	case hub.Scheme == "http" && !q.Plaintext:
		return "", errors.New("hub: the agent shows its token there, so that it must be https (see --tls-cert of run); --plaintext allows http on a network that is trusted")
	case !imageForm.MatchString(q.Image):
		return "", errors.New("image: name the container image that holds evenkeel")
	case d.Storage != "none" && !sizeForm.MatchString(d.Storage):
		return "", fmt.Errorf("storage %q is no size such as 1Gi, nor none", d.Storage)
	case d.Class != "" && strings.Trim(d.Class, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "":
		return "", errors.New("storageClass is no name of a storage class")
	}
	if d.CA, err = certificates(q.CA); err != nil {
		return "", err
	}
	d.Args = []string{"agent", "--hub=" + q.Hub, "--cluster=" + cluster, "--token-file=/etc/evenkeel/token/token", "--data=/var/lib/evenkeel", "--http=:7481", "--log=json"}
	if d.CA != "" {
		d.Args = append(d.Args, "--hub-ca=/etc/evenkeel/hub/ca.pem")
	}
	if q.Plaintext {
		d.Args = append(d.Args, "--plaintext")
	}
	d.Ports = ports(hub, nats)
	t, err := template.New("agent").Funcs(template.FuncMap{"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err }}).Parse(agentTemplate)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, d)
	return b.String(), err
}

// ports are those that an agent reaches: the hub's two, and those at which API servers usually are.
func ports(hub *url.URL, nats string) []int {
	out := []int{443, 6443}
	add := func(text string, otherwise int) {
		n := otherwise
		if text != "" {
			fmt.Sscan(text, &n) //nolint:errcheck // the URL was parsed
		}
		if n != 443 && n != 6443 {
			out = append(out, n)
		}
	}
	add(hub.Port(), map[string]int{"http": 80, "https": 443}[hub.Scheme])
	if u, err := url.Parse(nats); err == nil {
		add(u.Port(), 4222)
	}
	return out
}

// certificates keeps the certificates of a PEM text alone: a key that stands beside them goes nowhere.
func certificates(text string) (string, error) {
	var b strings.Builder
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			if err := pem.Encode(&b, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
				return "", err
			}
		}
	}
	if b.Len() == 0 && text != "" {
		return "", errors.New("ca: there is no PEM certificate in it")
	}
	return b.String(), nil
}
