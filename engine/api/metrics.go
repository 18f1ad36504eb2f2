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
	byLabel := func(d *prometheus.Desc, counts map[string]int) {
		for label, n := range counts {
			gauge(d, float64(n), label)
		}
	}
	var c *census
	g.o.View(func(s *engine.State) { c = countState(s) })
	gauge(g.index, float64(c.index))
	gauge(g.epoch, float64(c.epoch))
	leading := 0.0
	if g.o.Leading() {
		leading = 1
	}
	gauge(g.leading, leading)
	gauge(g.open, float64(c.open))
	gauge(g.flapping, float64(c.flapping))
	out <- prometheus.MustNewConstMetric(g.flaps, prometheus.CounterValue, float64(c.flaps))
	byLabel(g.runs, c.runs)
	byLabel(g.agents, c.agents)
	byLabel(g.steps, c.steps)
	alarms := map[string]int{}
	for _, code := range orchestrator.AlarmCodes() {
		alarms[code] = 0
	}
	for _, a := range g.o.Alarms() {
		alarms[a.Code]++
	}
	byLabel(g.alarm, alarms)
}

// A census is what the gauges tell of a state.
type census struct {
	index, epoch, flaps uint64
	open, flapping      int
	runs, agents, steps map[string]int // by status; steps are of the runs under way
}

func countState(s *engine.State) *census {
	c := &census{
		index: s.Index, epoch: s.Epoch,
		runs:   map[string]int{"running": 0, "waiting": 0, "cancelling": 0, "succeeded": 0, "failed": 0, "cancelled": 0},
		agents: map[string]int{"connected": 0, "disconnected": 0, "pending": 0, "revoked": 0, "quarantined": 0},
	}
	for _, a := range s.Agents {
		if view := AgentView(s, a); !a.Relay {
			c.agents[view.Status]++
		}
		c.open += len(a.Open)
		c.flaps += a.Flaps
		if a.Flapping {
			c.flapping++
		}
	}
	var sum engine.Counts
	for _, r := range s.Runs {
		c.runs[r.Status()]++
		if r.Outcome != 0 {
			continue
		}
		sum.Pending += r.Counts.Pending
		sum.Ready += r.Counts.Ready
		sum.Running += r.Counts.Running
		sum.Waiting += r.Counts.Waiting
		sum.Succeeded += r.Counts.Succeeded
		sum.Failed += r.Counts.Failed
		sum.Skipped += r.Counts.Skipped
		sum.Cancelled += r.Counts.Cancelled
	}
	c.steps = map[string]int{
		"pending": sum.Pending, "ready": sum.Ready, "running": sum.Running, "waiting": sum.Waiting,
		"succeeded": sum.Succeeded, "failed": sum.Failed, "skipped": sum.Skipped, "cancelled": sum.Cancelled,
	}
	return c
}
