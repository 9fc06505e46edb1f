package definition

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// FieldManager is under which name the status is written.
const FieldManager = "evenkeel"

const (
	conditionAccepted = "Accepted"
	requestTimeout    = 10 * time.Second
	writesMax         = 10          // of a look: ten a second, so that ten thousand objects take seventeen minutes and no API server notices
	stateEvery        = time.Minute // no sooner is the state of one object written again
	statesEvery       = 10 * time.Second
	againAfter        = 30 * time.Second // a write that the watch has not shown, or that failed
)

// observed is the status as the API server has it, of what is written here.
type observed struct {
	status, reason, message string
	observedGeneration      int64
	since                   string
	state, budget           string
}

// observe reads the status of an object.
func observe(u *unstructured.Unstructured) observed {
	var out observed
	out.observedGeneration, _, _ = unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	out.state, _, _ = unstructured.NestedString(u.Object, "status", "state")
	out.budget, _, _ = unstructured.NestedString(u.Object, "status", "budgetRemaining")
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, v := range list {
		c, ok := v.(map[string]any)
		if !ok || c["type"] != conditionAccepted {
			continue
		}
		out.status, _ = c["status"].(string)
		out.reason, _ = c["reason"].(string)
		out.message, _ = c["message"].(string)
		out.since, _ = c["lastTransitionTime"].(string)
	}
	return out
}

// A wish is a verdict that is to be in an object's status.
type wish struct {
	object  *object
	verdict verdict
}

// written is what was written last to an object that the watch may not have shown yet.
type written struct {
	status    observed
	at, state time.Time // of the last write, and of the last one that changed the state
}

// A writer writes statuses. It is used by the source's loop alone; what it keeps is bounded by the objects.
type writer struct {
	client dynamic.Interface
	stats  *Stats
	logger *slog.Logger
	of     func(globalNamespace, service, name string) (State, bool)

	wishes  []wish
	written map[string]written // by UID
	next    int                // where to go on
	looked  time.Time
	idle    bool
	noted   string
}

// take replaces what is to be written.
func (w *writer) take(wishes []wish, of func(globalNamespace, service, name string) (State, bool)) {
	w.wishes, w.of, w.idle = wishes, of, false
	live := make(map[string]bool, len(wishes))
	for i := range wishes {
		live[string(wishes[i].object.UID)] = true
	}
	for uid := range w.written {
		if !live[uid] {
			delete(w.written, uid)
		}
	}
	if w.next >= len(wishes) {
		w.next = 0
	}
}

// write writes what differs, at most so many of one look, going round so that each gets its turn.
func (w *writer) write(ctx context.Context, now time.Time) error {
	if w.idle && now.Sub(w.looked) < statesEvery {
		return nil
	}
	w.looked = now
	left := writesMax
	for range len(w.wishes) {
		if left == 0 {
			return nil
		}
		if w.next >= len(w.wishes) {
			w.next = 0
		}
		wish := &w.wishes[w.next]
		w.next++
		status, ok := w.differs(wish, now)
		if !ok {
			continue
		}
		left--
		if err := w.apply(ctx, wish.object, status, now); err != nil {
			return err
		}
	}
	w.idle = left == writesMax
	return nil
}

// differs returns the status that an object should have, and whether it is to be written now.
func (w *writer) differs(wish *wish, now time.Time) (observed, bool) {
	o, v := wish.object, &wish.verdict
	last := w.written[string(o.UID)]
	have := o.seen
	shown := last.at.IsZero() || last.status == have
	if !shown && now.Sub(last.at) < againAfter {
		have = last.status // the watch is a moment behind
	}
	want := observed{status: "False", reason: v.reason, message: v.message, observedGeneration: o.Generation, since: have.since, state: have.state, budget: have.budget}
	if v.reason == ReasonAccepted {
		want.status = "True"
	}
	if want.status != have.status || want.since == "" {
		want.since = now.UTC().Format(time.RFC3339)
	}
	judged := want != have
	state, budget, known := w.state(o, v)
	if known && (state != have.state || budget != have.budget) && (judged || now.Sub(last.state) >= stateEvery) {
		want.state, want.budget = state, budget
	}
	return want, want != have
}

// state returns how an SLO stands; that of one that does not stand is empty. What is not known here stays as it is.
func (w *writer) state(o *object, v *verdict) (state, budget string, known bool) {
	switch {
	case w.of == nil:
		return "", "", false
	case o.service == "" || v.globalNamespace == "":
		return "", "", true
	}
	st, ok := w.of(v.globalNamespace, o.service, o.Name)
	if ok && st.Remaining != nil {
		budget = fmt.Sprintf("%.0f%%", math.Floor(*st.Remaining*100))
	}
	return st.State, budget, ok
}

// apply writes one status. An object that is gone, or is another one by now, is no error. What the whole cluster refuses is.
func (w *writer) apply(ctx context.Context, o *object, st observed, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body := map[string]any{"observedGeneration": st.observedGeneration, "conditions": []any{map[string]any{
		"type": conditionAccepted, "status": st.status, "reason": st.reason, "message": st.message, "observedGeneration": st.observedGeneration, "lastTransitionTime": st.since,
	}}}
	if st.state != "" {
		body["state"] = st.state
	}
	if st.budget != "" {
		body["budgetRemaining"] = st.budget
	}
	metadata := map[string]any{"name": o.Name, "uid": string(o.UID)} // another object of the name is another matter
	if o.Namespace != "" {
		metadata["namespace"] = o.Namespace
	}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group.String(), "kind": o.resource.kind, "metadata": metadata, "status": body}}
	_, err := w.client.Resource(o.resource.gvr()).Namespace(o.Namespace).ApplyStatus(ctx, o.Name, u, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	last := w.written[string(o.UID)]
	if st.state != last.status.state || st.budget != last.status.budget {
		last.state = now
	}
	last.status, last.at = st, now
	w.written[string(o.UID)] = last
	switch {
	case err == nil:
		w.stats.StatusWrites.Add(1)
		w.noted = ""
		return nil
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		return nil // the watch will tell
	}
	w.stats.StatusFailures.Add(1)
	if w.noted != err.Error() {
		w.noted = err.Error()
		w.logger.Warn("a status cannot be written; it is tried again", "object", o.ref().String(), "err", err)
	}
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return nil // of this one; the others get their turn
	}
	return fmt.Errorf("write the status of %s: %w", o.ref(), err)
}
