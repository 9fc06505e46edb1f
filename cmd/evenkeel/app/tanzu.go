package app

import (
	"strings"

	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo/native"
	"evenkeel.dev/slo/tanzu"
)

// ConvertTanzu writes SLOs as Tanzu Service Mesh's API answers them, JSON, as definitions of our own kind. Source names where their
// telemetry comes from, "" being Istio.
func ConvertTanzu(files []console.File, globalNamespace, source string) (Converted, error) {
	var out Converted
	var text strings.Builder
	o := tanzu.Options{GlobalNamespace: globalNamespace, Source: source, Bounds: native.Bounds(source)}
	if source == "" {
		o.Bounds = native.Bounds("istio")
	}
	for _, f := range files {
		root, err := mesh.ReadJSON([]byte(f.Text))
		if err != nil {
			out.Left = append(out.Left, mesh.Problem{File: f.Name, Message: "this is not JSON: " + err.Error(), Hint: "save what GET …/service-level-objectives answers"})
			continue
		}
		r, ps := tanzu.Convert(&mesh.Document{File: f.Name, Root: root}, o)
		if len(ps) > 0 {
			out.Left = append(out.Left, ps...)
			continue
		}
		text.WriteString(r.YAML)
		for _, n := range r.Notes {
			out.Notes = append(out.Notes, mesh.Problem{File: f.Name, Message: n})
		}
	}
	out.Text = []byte(text.String())
	return out, nil
}
