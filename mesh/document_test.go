package mesh_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
)

func document(t *testing.T, text string) mesh.Document {
	t.Helper()
	root, err := mesh.ReadJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d, ps := mesh.NewDocument("a.json", text, root)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return d
}

const service = `{
  "kind": "Service", "apiVersion": "openslo/v1",
  "metadata": {"name": "shop", "annotations": {"evenkeel.dev/url": "https://a?b&c"}},
  "spec": {"list": [1.50, {"é": true, "deep": null}], "text": "<&>"}
}`

// A problem would point at the wrong place of a file.
func TestPlaces(t *testing.T) {
	d := document(t, service)
	for path, want := range map[string][2]int{
		"kind":                                   {2, 11},
		"metadata":                               {3, 3},
		"metadata.name":                          {3, 24},
		"spec.list":                              {4, 12},
		"spec.list[0]":                           {4, 21},
		"spec.list[1].é":                         {4, 33},
		"spec.list[1][é]":                        {4, 33},
		"spec.list[1].dee":                       {4, 27}, // not there: the nearest thing around it
		"spec.list[7].x":                         {4, 12},
		"spec.missing":                           {4, 3},
		"nothing":                                {1, 1},
		"metadata.annotations[evenkeel.dev/url]": {3, 68},
	} {
		if line, column := d.At(path); [2]int{line, column} != want {
			t.Errorf("%s is at %d:%d, want %v", path, line, column, want)
		}
	}
	if line, column := d.Key("metadata.name"); line != 3 || column != 16 {
		t.Errorf("the key metadata.name is at %d:%d", line, column)
	}
}

// The digest of a definition would change on its way through the log, and each reload would be a change.
func TestCanonicalJSON(t *testing.T) {
	d := document(t, service)
	const want = `{"apiVersion":"openslo/v1","kind":"Service","metadata":{"annotations":{"evenkeel.dev/url":"https://a?b\u0026c"},"name":"shop"},` +
		`"spec":{"list":[1.50,{"deep":null,"é":true}],"text":"\u003c\u0026\u003e"}}`
	if diff := cmp.Diff(want, string(d.JSON)); diff != "" {
		t.Error(diff)
	}
	through, err := json.Marshal(struct{ Spec json.RawMessage }{d.JSON})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(through[len(`{"Spec":`) : len(through)-1]); got != want {
		t.Errorf("encoding/json changes it to %s", got)
	}
}

// JSON that is cut, too deep or ambiguous would be taken for something.
func TestBadJSON(t *testing.T) {
	deep := ""
	for range 40 {
		deep += "["
	}
	for text, want := range map[string]string{
		`{"a":`:                              "1:1: this is not valid JSON",
		"{\"a\":1,\n \"a\":2}":               `2:2: the key "a" stands twice`,
		deep + "1" + string(make([]byte, 0)): "1:1: this is not valid JSON",
	} {
		if _, err := mesh.ReadJSON([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.20s: %v, want %s", text, err, want)
		}
	}
	for range 40 {
		deep += "]"
	}
	if _, err := mesh.ReadJSON([]byte(deep)); err == nil || err.Error() != "1:34: the document nests deeper than 32" {
		t.Errorf("deep: %v", err)
	}
}

// A mistake in a field would be passed over, converted or reported as something else.
func TestDecodeIsStrict(t *testing.T) {
	var into struct {
		Metadata struct {
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Kind string `json:"kind"`
		Spec struct {
			Yes    bool        `json:"yes"`
			Count  int         `json:"count"`
			Target json.Number `json:"target"`
			Names  []string    `json:"names"`
			Part   *struct {
				Window string `json:"window"`
			} `json:"part"`
			Any *mesh.Node `json:"any"`
		} `json:"spec"`
	}
	d := document(t, `{"apiVersion":"v","kind":"K","metadata":{"name":"n","annotations":{"a":1}},
"spec":{"yes":"on","count":1.5,"target":"0.99","names":["a",null,2],"part":{"windw":"1h"},"any":{"x":[1]}}}`)
	var got []string
	for _, p := range d.Decode("", &into) {
		got = append(got, p.String())
	}
	want := []string{
		`a.json:1:2: unknown field "apiVersion" in the document (known: metadata, kind, spec)`,
		`a.json:1:72: metadata.annotations.a must be a string, found a number (put it in quotes)`,
		`a.json:2:15: spec.yes must be true or false, found the string "on" (write true without quotes)`,
		`a.json:2:28: spec.count must be a whole number, found a number (1.5)`,
		`a.json:2:41: spec.target must be a number, found the string "0.99" (write 0.99 without quotes)`,
		`a.json:2:61: item 2 of spec.names is empty (leave it out)`,
		`a.json:2:66: spec.names[2] must be a string, found a number (2) (put it in quotes: "2")`,
		`a.json:2:77: unknown field "windw" in spec.part (did you mean "window"?)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if into.Spec.Any == nil || into.Spec.Any.Get("x") == nil {
		t.Error("a node was not left as it is")
	}
}

// A misspelled name would be answered with a suggestion that has nothing to do with it.
func TestNearest(t *testing.T) {
	known := []string{"objective", "objectives", "timeWindow", "op", "service"}
	for name, want := range map[string]string{
		"objectve": "objective", "objetives": "objectives", "timewindow": "timeWindow", "time_window": "timeWindow",
		"servcie": "service", "xy": "", "completely": "", "": "",
	} {
		if got := mesh.Nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// A name that Kubernetes and NATS would refuse would be accepted, or a good one refused.
func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "a-1": true, "0": true, "": false, "A": false, "-a": false, "a-": false, "a.b": false, "a b": false, "é": false,
		"a234567890123456789012345678901234567890123456789012345678901234": false,
	} {
		if (mesh.LabelHint(name) == "") != good {
			t.Errorf("%q: %q", name, mesh.LabelHint(name))
		}
	}
	for text, want := range map[string]string{"99.9 % good": "99-9-good", "--": "", "Ünder": "nder", "A_B": "a-b"} {
		if got := mesh.Slug(text); got != want {
			t.Errorf("slug of %q: %q, want %q", text, got, want)
		}
	}
}

type compiler []mesh.Kind

func (c compiler) Kinds() []mesh.Kind { return c }
func (c compiler) Compile(docs []mesh.Document, _ []mesh.Definition) (ds []mesh.Definition, _ []mesh.Problem) {
	for i := range docs {
		ds = append(ds, mesh.Definition{Ref: docs[i].Ref()})
	}
	return ds, nil
}

// Two compilers would fight over a kind, or a kind that nobody knows would vanish without a word.
func TestKinds(t *testing.T) {
	services := compiler{{APIVersion: "openslo/v1", Kind: "Service"}}
	if _, err := mesh.NewKinds(services, services); err == nil {
		t.Error("the same kind is taken twice")
	}
	k, err := mesh.NewKinds(services, compiler{{APIVersion: "b/v1", Kind: "Thing"}})
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t, service)
	other := doc
	other.Kind = "Servce"
	ds, ps := k.Compile([]mesh.Document{doc, doc, other}, nil)
	var got []string
	for _, p := range ps {
		got = append(got, p.String())
	}
	want := []string{
		`a.json:2:11: unknown kind "Servce" of openslo/v1 (did you mean "Service"?)`,
		`a.json:3:24: Service default/shop is defined twice (it stands in a.json, line 3, as well)`,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(ds) != 1 {
		t.Errorf("%d definitions\n%s", len(ds), diff)
	}
}
