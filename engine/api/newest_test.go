package api_test

import (
	"fmt"
	"strings"
	"testing"

	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// pasts writes an answer as a line per task.
func pasts(n *api.StepsNewest) string {
	var lines []string
	for _, task := range n.Tasks {
		var groups []string
		for _, g := range task {
			groups = append(groups, fmt.Sprintf("run %d %s %t %v", g.Run, g.Status, g.Changed, g.Hosts))
		}
		lines = append(lines, strings.Join(groups, "; "))
	}
	return strings.Join(lines, "\n")
}

// What is on record of steps is of the newest run that did anything of them, host by
// host; checks, what was never begun and what another agent did are not in it.
func TestNewestSteps(t *testing.T) {
	rig, c, _ := serve(t)
	fail := map[string]bool{"svc-a@n1 2": true, "svc-a@n2 4": true} // by run
	serveAs := func(agent *gatewaytest.Agent, host string) {
		agent.MustConnect(t).ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
			reports := gatewaytest.Succeed(d.Attempt, step)
			for i := range reports {
				if r := &reports[i]; !r.Began && fail[fmt.Sprintf("%s@%s %d", step.Task, host, step.Run)] {
					r.Outcome = uint8(eventlog.Failed)
				}
			}
			return reports
		})
	}
	serveAs(rig.Enrol(t, "n1"), "n1")
	serveAs(rig.Enrol(t, "n2"), "n2")
	hosts := []string{"n1", "n2"}
	all := rig.Plan(t, hosts, gatewaytest.Task{ID: "svc-a", Jobs: 1}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}})
	one := rig.Plan(t, hosts[:1], gatewaytest.Task{ID: "svc-a", Jobs: 1})
	set := uint32(0)
	question := api.StepsQuery{
		Hosts: []string{"n2", "n3", "n1"}, HostSets: [][]uint32{{0, 2}},
		Tasks: []api.TaskQuery{{ID: "svc-a", HostSet: &set}, {ID: "svc-b", HostSet: &set}, {ID: "svc-c"}},
	}
	ask := func(want ...string) {
		t.Helper()
		if got := pasts(gatewaytest.Must(c.NewestSteps(t.Context(), question))); got != strings.Join(want, "\n") {
			t.Errorf("on record is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	}
	run := func(request string, in api.RunSubmit) {
		t.Helper()
		in.RequestID = request
		gatewaytest.Must(c.CreateRun(t.Context(), in))
		collect(t, c, "latest", 0)
	}
	ask("", "", "")
	submit(t, c, all, "one")
	collect(t, c, "latest", 0)
	ask("run 1 succeeded true []", "run 1 succeeded true []", "")
	submit(t, c, one, "two")
	collect(t, c, "latest", 0)
	ask("run 2 failed true [2]; run 1 succeeded true [0]", "run 1 succeeded true []", "")
	run("three", api.RunSubmit{PlanID: all.ID(), Check: true})
	ask("run 2 failed true [2]; run 1 succeeded true [0]", "run 1 succeeded true []", "")
	none := uint32(0)
	run("four", api.RunSubmit{PlanID: all.ID(), Ahead: &none}) // svc-b waits for all hosts of svc-a, and is not begun
	ask("run 4 succeeded true [2]; run 4 failed true [0]", "run 1 succeeded true []", "")

	question.Tasks = question.Tasks[:1]
	gatewaytest.Must(c.Revoke(t.Context(), "n1", api.AgentChange{RequestID: "revoke", Reason: "replaced"}))
	serveAs(rig.Enrol(t, "n1"), "n1")
	ask("run 4 failed true [0]")

	far := uint32(9)
	for _, bad := range []api.StepsQuery{
		{Tasks: []api.TaskQuery{{ID: "x", HostSet: &far}}},
		{Hosts: hosts, HostSets: [][]uint32{{1, 0}}},
		{Hosts: hosts, HostSets: [][]uint32{{7}}},
	} {
		if _, err := c.NewestSteps(t.Context(), bad); code(err) != "invalid" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
