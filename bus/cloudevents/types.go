package cloudevents

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed types/*.json
var schemas embed.FS

// A Type is one kind of public event.
type Type struct {
	Name        string          // the attribute "type", for example "dev.evenkeel.slo.alert.v1"
	Key         string          // area and kind, for example "slo.alert"
	Subject     string          // on NATS, for example "evenkeel.slo.alert.{globalNamespace}.{service}.{slo}"; each part is a bus.Token
	About       string          // the attribute "subject", in the same terms
	Description string          // one sentence and what a consumer must know
	Schema      json.RawMessage // of the data: JSON Schema, draft 2020-12
	Example     json.RawMessage // of the data
}

// Types lists the public event types.
func Types() ([]Type, error) {
	const ofSLO = "{globalNamespace}/{service}/{slo}"
	types := []Type{
		{Key: "slo.alert", Subject: "evenkeel.slo.alert.{globalNamespace}.{service}.{slo}", About: ofSLO},
		{Key: "slo.status", Subject: "evenkeel.slo.status.{globalNamespace}.{service}.{slo}", About: ofSLO},
		{Key: "slo.correction", Subject: "evenkeel.slo.correction.{globalNamespace}.{service}.{slo}", About: ofSLO},
		{Key: "mesh.definition", Subject: "evenkeel.mesh.definition.{globalNamespace}.{kind}.{name}", About: "{globalNamespace}/{kind}/{name}"},
		{Key: "mesh.cluster", Subject: "evenkeel.mesh.cluster.-.{cluster}", About: "-/{cluster}"},
		{Key: "mesh.node", Subject: "evenkeel.mesh.node.-.{cluster}.{name}", About: "-/{cluster}/{name}"},
		{Key: "mesh.service", Subject: "evenkeel.mesh.service.{globalNamespace}.{service}.{cluster}.{namespace}", About: "{globalNamespace}/{service}/{cluster}/{namespace}"},
		{Key: "mesh.instance", Subject: "evenkeel.mesh.instance.{globalNamespace}.{service}.{cluster}.{namespace}.{name}", About: "{globalNamespace}/{service}/{cluster}/{namespace}/{name}"},
		{Key: "mesh.member", Subject: "evenkeel.mesh.member.{globalNamespace}.{cluster}.{namespace}", About: "{globalNamespace}/{cluster}/{namespace}"},
		{Key: "mesh.group", Subject: "evenkeel.mesh.group.{globalNamespace}.{group}", About: "{globalNamespace}/{group}"},
		{Key: "mesh.enrolment", Subject: "evenkeel.mesh.enrolment.-.{cluster}", About: "-/{cluster}"},
		{Key: "mesh.call", Subject: "evenkeel.mesh.call.{globalNamespace}.{service}.{cluster}.{namespace}.{call}", About: "{globalNamespace}/{service}/{cluster}/{namespace}/{call}"},
		{Key: "notify.dead", Subject: "evenkeel.notify.dead.{globalNamespace}.{service}.{slo}", About: ofSLO},
		{Key: "notify.watchdog", Subject: "evenkeel.notify.watchdog.default", About: "default"},
		{Key: "notify.silence", Subject: "evenkeel.notify.silence.{globalNamespace}.{service}", About: "{globalNamespace}/{service}/{id}"},
	}
	for i := range types {
		if err := types[i].load(); err != nil {
			return nil, err
		}
	}
	return types, nil
}

func (t *Type) load() error {
	file := t.Key + ".v1.json"
	t.Name = "dev.evenkeel." + t.Key + ".v1"
	b, err := schemas.ReadFile("types/" + file)
	if err != nil {
		return fmt.Errorf("cloudevents: schema of %s: %w", t.Name, err)
	}
	var head struct {
		ID          string            `json:"$id"`
		Description string            `json:"description"`
		Examples    []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("cloudevents: schema of %s: %w", t.Name, err)
	}
	if len(head.Examples) != 1 || !strings.HasSuffix(head.ID, "/"+file) {
		return fmt.Errorf("cloudevents: schema of %s: it has %d examples and the id %s", t.Name, len(head.Examples), head.ID)
	}
	t.Description, t.Schema, t.Example = head.Description, b, head.Examples[0]
	return nil
}

// parameters returns the names in braces of a subject.
func (t *Type) parameters() []string {
	var names []string
	for _, part := range strings.Split(t.Subject, ".") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// exampleAbout fills the attribute subject from the example's data.
func (t *Type) exampleAbout() string {
	switch t.Key {
	case "notify.watchdog":
		return "default"
	case "notify.silence":
		return "shop/checkout/k3v9q2mzt7xw4bny"
	case "mesh.definition":
		return "shop/slo/checkout-availability"
	}
	if strings.HasPrefix(t.Key, "mesh.") {
		return t.filled()
	}
	return "shop/checkout/checkout-availability"
}

// filled fills About with the fields of the example that it names.
func (t *Type) filled() string {
	var data map[string]any
	if json.Unmarshal(t.Example, &data) != nil {
		return ""
	}
	parts := strings.Split(t.About, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			parts[i], _ = data[strings.TrimSuffix(name, "}")].(string)
		}
	}
	return strings.Join(parts, "/")
}
