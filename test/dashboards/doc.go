// Package dashboards holds the Grafana dashboards in deploy/grafana against what the engine really exports.
package dashboards
