package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel.dev/mesh/yaml"
)

// What is piped into kubectl would not be YAML, findings would be in it, or nobody would hear of them.
func TestMeshObjects(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "console", "testdata", "mesh-objects.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, env := serveAnswers(t, map[string]string{"GET /api/v1/mesh/objects": string(b)})
	var all strings.Builder
	for _, line := range []string{"mesh objects", "mesh objects --explain"} {
		code, out, errs := command(t, env, "", strings.Fields(line)...)
		if code != exitDone {
			t.Errorf("evenkeel %s: exit %d: %s", line, code, errs)
		}
		if docs, ps := yaml.Parse("out.yaml", []byte(out)); line == "mesh objects" && (len(ps) > 0 || len(docs) != 4) {
			t.Errorf("%d documents, %v", len(docs), ps)
		}
		all.WriteString("$ evenkeel " + line + "\n" + out + "stderr:\n" + errs)
	}
	golden(t, "objects.txt", all.String())
	command(t, env, "", strings.Fields("mesh objects --gns shop --cluster eu-1 --output-kind ambient --gateways edge,more -o json")...)
	if got, want := s.asked[len(s.asked)-1], "GET /api/v1/mesh/objects?cluster=eu-1&gateways=edge%2Cmore&gns=shop&output=ambient"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	_, none := serveAnswers(t, map[string]string{"GET /api/v1/mesh/objects": `{"items":[]}`})
	for line, want := range map[string]int{"mesh objects": exitDone, "mesh objects --explain": exitDone, "mesh objects --output-kind linkerd": exitUsage, "mesh objects -o text": exitUsage} {
		if code, out, errs := command(t, none, "", strings.Fields(line)...); code != want || out != "" {
			t.Errorf("evenkeel %s: exit %d, want %d: %s%s", line, code, want, out, errs)
		}
	}
}
