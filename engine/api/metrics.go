package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"quorate/engine"
	"quorate/engine/orchestrator"
)

// newMetrics returns the handler of /metrics, with a registry of its own.
func (h *Handler) newMetrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(h.o.Collectors()...)
	registry.MustRegister(h.denied, newGauges(h.o))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

func (h *Handler) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	h.metrics.ServeHTTP(w, r)
	return nil
}

// gauges reads the state when it is asked: folding costs nothing for it.
type gauges struct {
	o                                                *orchestrator.Orchestrator
	index, epoch, leading, runs, agents, steps, open *prometheus.Desc
	flapping, flaps, alarm                           *prometheus.Desc
}

func newGauges(o *orchestrator.Orchestrator) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("quorate_"+name, help, labels, nil)
	}
	return &gauges{
		o:        o,
		index:    desc("log_index", "Index of the newest record that is folded here."),
		epoch:    desc("epoch", "Index of the newest leader's first record."),
		leading:  desc("leading", "1 where this orchestrator leads."),
		runs:     desc("runs", "Runs by status.", "status"),
		agents:   desc("agents", "Agents by status.", "status"),
		steps:    desc("steps", "Steps of the runs under way, by status.", "status"),
		flapping: desc("agents_flapping", "Agents whose connection comes and goes."),
		flaps:    desc("agent_flaps_total", "Reconnections of agents that count against them."),
		alarm:    desc("alarm", "Alarms of this orchestrator, by code: what an operator has to look after.", "code"),
		open:     desc("attempts_open", "Attempts that agents have not settled."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.index, g.epoch, g.leading, g.runs, g.agents, g.steps, g.open, g.flapping, g.flaps, g.alarm} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	runs := map[string]int{"running": 0, "waiting": 0, "cancelling": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
	agents := map[string]int{"connected": 0, "disconnected": 0, "pending": 0, "revoked": 0, "quarantined": 0}
	var steps engine.Counts
	var index, epoch uint64
	open, flapping, flaps := 0, 0, uint64(0)
	g.o.View(func(s *engine.State) {
		index, epoch = s.Index, s.Epoch
		for _, a := range s.Agents {
			if view := AgentView(s, a); !a.Relay {
				agents[view.Status]++
			}
			open += len(a.Open)
			flaps += a.Flaps
			if a.Flapping {
				flapping++
			}
		}
		for _, r := range s.Runs {
			runs[r.Status()]++
			if r.Outcome != 0 {
				continue
			}
			c := &r.Counts
			steps.Pending += c.Pending
			steps.Ready += c.Ready
			steps.Running += c.Running
			steps.Waiting += c.Waiting
			steps.Succeeded += c.Succeeded
			steps.Failed += c.Failed
			steps.Skipped += c.Skipped
			steps.Cancelled += c.Cancelled
		}
	})
	gauge(g.index, float64(index))
	gauge(g.epoch, float64(epoch))
	leading := 0.0
	if g.o.Leading() {
		leading = 1
	}
	gauge(g.leading, leading)
	gauge(g.open, float64(open))
	gauge(g.flapping, float64(flapping))
	out <- prometheus.MustNewConstMetric(g.flaps, prometheus.CounterValue, float64(flaps))
	alarms := map[string]int{}
	for _, code := range orchestrator.AlarmCodes() {
		alarms[code] = 0
	}
	for _, a := range g.o.Alarms() {
		alarms[a.Code]++
	}
	for code, n := range alarms {
		gauge(g.alarm, float64(n), code)
	}
	for status, n := range runs {
		gauge(g.runs, float64(n), status)
	}
	for status, n := range agents {
		gauge(g.agents, float64(n), status)
	}
	for status, n := range map[string]int{
		"pending": steps.Pending, "ready": steps.Ready, "running": steps.Running, "waiting": steps.Waiting,
		"succeeded": steps.Succeeded, "failed": steps.Failed, "skipped": steps.Skipped, "cancelled": steps.Cancelled,
	} {
		gauge(g.steps, float64(n), status)
	}
}
