package stories

import (
	"encoding/json"
	"fmt"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/cmd/evenkeel/app"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh"
	"evenkeel.dev/slo"
)

// commandBegin moves the story to a moment, "2027-03-28T00:00:00Z", before anything has happened in it.
func (w *world) commandBegin(text string) error {
	if w.seq > 0 {
		return fmt.Errorf("the story has begun already")
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return err
	}
	w.begin = bus.Time(t.UnixMilli())
	w.now = w.begin
	return nil
}

// commandApply compiles a file of the story as 'evenkeel check' does and defines what it holds, where nothing is wrong with it.
func (w *world) commandApply(name string) error {
	text, ok := w.files[name]
	if !ok {
		return fmt.Errorf("there is no section %q", name)
	}
	ds, problems, err := app.Check([]console.File{{Name: name, Text: text}})
	if err != nil {
		return err
	}
	refused := false
	for _, p := range problems {
		w.say("%s", p)
		refused = refused || !p.Warning
	}
	if refused {
		return nil
	}
	for i := range ds {
		var os []slo.Objective
		if ds[i].Kind == slo.KindExclusion || json.Unmarshal(ds[i].Compiled, &os) != nil {
			continue // a kind that is no SLO
		}
		for k := range os {
			if os[k].Composite == nil {
				continue
			}
			if err := w.joins(); err != nil {
				return err
			}
		}
	}
	if err := w.change(mesh.Change{Accepted: true, Set: ds}); err != nil {
		return err
	}
	return w.again()
}

// joins makes the stage of composites, where there is none yet.
func (w *world) joins() error {
	if w.joint != nil {
		return nil
	}
	var err error
	w.joint, err = slo.NewComposites(1, slo.Config{})
	return err
}
