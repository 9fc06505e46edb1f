package app

import (
	"fmt"
	"slices"
	"time"

	"evenkeel.dev/bus/jetstream"
	"evenkeel.dev/console"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/slo"
)

// behindMax is how far a stage may lag and still be called ready: an engine that is further behind does not act on old load (SAFETY 10).
const behindMax = 30 * time.Second

// ready says, role by role, whether this process can do what the role is for.
func (a *app) ready() console.Readiness {
	out := console.Readiness{Ready: true}
	health := map[string][]jetstream.Health{}
	for _, h := range a.worker.Health() {
		health[h.Stage] = append(health[h.Stage], h)
	}
	for _, role := range a.settings.Roles {
		s := a.readyRole(role, health)
		s.Role, s.Ready = role, s.Reason == reasonReady
		out.Ready = out.Ready && s.Ready
		out.Roles = append(out.Roles, s)
	}
	return out
}

// Reasons of a role's readiness.
const (
	reasonReady      = "Ready"
	reasonLog        = "LogNotReady"
	reasonCatalogue  = "CatalogueNotRead"
	reasonRecovering = "Recovering"
	reasonBehind     = "Behind"
	reasonFailed     = "Failed"
	reasonDamaged    = "Damaged"
)

func (a *app) readyRole(role string, health map[string][]jetstream.Health) console.RoleState {
	switch role {
	case RoleSLO:
		return stageState(slices.Concat(health[slo.StageName], health[slo.CompositeStageName]))
	case RoleCatalogue:
		return stageState(slices.Concat(health[role], health[inventory.StageName], health[calls.StageName]))
	case RoleNotify:
		return stageState(health[role])
	case RoleIngest, RoleAPI:
		if _, _, ok := a.catalogue.read(); !ok {
			return console.RoleState{Reason: reasonCatalogue, Message: "the definitions have not been read yet"}
		}
	}
	if role == RoleAPI {
		return console.RoleState{Reason: reasonReady}
	}
	if err := a.log.Ready(); err != nil {
		return console.RoleState{Reason: reasonLog, Message: err.Error()}
	}
	return console.RoleState{Reason: reasonReady}
}

// partitionState is what readiness tells of one partition that is not as it should be.
type partitionState struct {
	Partition  int     `json:"partition"`
	State      string  `json:"state"`
	LagSeconds float64 `json:"lagSeconds"`
	Error      string  `json:"error,omitempty"`
}

// stageState is the worst state of a stage's partitions here. One that another process should run is not this one's concern.
func stageState(hs []jetstream.Health) console.RoleState {
	worst, rank := reasonReady, 0
	parts := []partitionState{}
	raise := func(reason string, r int) {
		if r > rank {
			worst, rank = reason, r
		}
	}
	for _, h := range hs {
		switch {
		case h.State == jetstream.StateElsewhere:
			continue
		case h.State == jetstream.StateDamaged:
			raise(reasonDamaged, 4)
		case h.State == jetstream.StateFailed || h.State == jetstream.StateFenced:
			raise(reasonFailed, 3)
		case h.State == jetstream.StateRecovering:
			raise(reasonRecovering, 2)
		case h.LagTime > behindMax:
			raise(reasonBehind, 1)
		default:
			continue
		}
		parts = append(parts, partitionState{h.Partition, h.State, h.LagTime.Seconds(), h.Err})
	}
	s := console.RoleState{Reason: worst}
	if rank > 0 {
		s.Details = parts
		s.Message = fmt.Sprintf("%d partitions are not as they should be", len(parts))
	}
	if worst == reasonDamaged {
		s.Message = "the store is damaged and partitions stand still; run: evenkeel repair"
	}
	return s
}
