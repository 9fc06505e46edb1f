// Package agents holds agents as processes of their own, in network namespaces, against real API servers: what they tell while their line to the hub is cut.
package agents
