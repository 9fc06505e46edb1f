// Package e2e runs Evenkeel as its users do, between programs that are not ours: Debian's Prometheus scrapes an exporter and writes
// to `evenkeel run`, a plain NATS client subscribes, Debian's Alertmanager and a webhook receiver hear of alerts. The tests run behind
// the build tag "peers".
package e2e
