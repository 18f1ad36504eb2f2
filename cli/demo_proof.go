package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quorate/engine/api"
	"quorate/eventlog"
)

// A testimony is what the log says of a run.
type testimony struct {
	scheduled, succeeded int            // attempts
	attempts             map[string]int // by step
	leaders              []establishing // in the order of the log
}

// An establishing is that an orchestrator began to lead.
type establishing struct {
	replica uint64
	seq     uint64
	at      time.Time
}

// read collects from the log what was scheduled, what ended, and who led.
func (o *outage) read(ctx context.Context) (*testimony, error) {
	found := &testimony{attempts: map[string]int{}}
	for e, err := range o.client.Log(ctx, api.LogQuery{}) {
		if err != nil {
			return nil, err
		}
		if e.Void {
			continue
		}
		data, err := json.Marshal(e.Event)
		if err != nil {
			return nil, err
		}
		var fields struct {
			Replica uint64          `json:"replica"`
			Task    json.Number     `json:"task"`
			Host    json.Number     `json:"host"`
			Outcome json.RawMessage `json:"outcome"`
		}
		switch e.Kind {
		case eventlog.KindLeaderEstablished.String():
			if err := json.Unmarshal(data, &fields); err != nil {
				return nil, err
			}
			found.leaders = append(found.leaders, establishing{fields.Replica, e.Seq, e.Time})
		case eventlog.KindStepScheduled.String():
			if err := json.Unmarshal(data, &fields); err != nil {
				return nil, err
			}
			found.scheduled++
			found.attempts[fields.Task.String()+"@"+fields.Host.String()]++
		case eventlog.KindAttemptEnded.String():
			if err := json.Unmarshal(data, &fields); err != nil {
				return nil, err
			}
			if o.isSuccess(fields.Outcome) {
				found.succeeded++
			}
		}
	}
	return found, nil
}

// isSuccess reads an outcome, which is a number or a word.
func (o *outage) isSuccess(text json.RawMessage) bool {
	word := strings.Trim(string(text), `"`)
	return word == eventlog.Succeeded.String() || word == strconv.Itoa(int(eventlog.Succeeded))
}

// prove compares the effects, the log and the survivors' files, and prints what
// it found. Anything that does not fit is an error.
func (o *outage) prove(found *testimony, total int) error {
	pauses, err := o.countEffects(total)
	if err != nil {
		return err
	}
	steps := len(o.hosts) * outageTasks
	if found.scheduled != steps || found.succeeded != steps || len(found.attempts) != steps {
		return fmt.Errorf("of %d steps %d have %d attempts, %d of which succeeded: want one each", steps, len(found.attempts), found.scheduled, found.succeeded)
	}
	next, gap := o.succession(found)
	if next == nil {
		return fmt.Errorf("no orchestrator led after %d was killed", o.killed)
	}
	print := func(format string, args ...any) { fmt.Fprintf(o.con.out, "   "+format+"\n", args...) }
	print("effects: %d lines for %s, each job once", total, count(total, "job"))
	print("log: %s, %s, %d succeeded, none was repeated", count(steps, "step"), count(found.scheduled, "attempt"), found.succeeded)
	print("orchestrator %d led %s after %d was killed (record %d)", next.replica, elapsed(gap), o.killed, next.seq)
	print("longest pause between two effects: %s before the kill, %s after it", elapsed(pauses[0]), elapsed(pauses[1]))
	return o.compareSurvivors()
}

// succession finds who led next after the kill, and how long that took.
func (o *outage) succession(found *testimony) (next *establishing, gap time.Duration) {
	for i := range found.leaders {
		if l := &found.leaders[i]; l.at.After(o.at) && l.replica != o.killed {
			return l, l.at.Sub(o.at)
		}
	}
	return nil, 0
}

// countEffects wants every job's line once, and returns the longest pauses
// between two lines before and after the kill.
func (o *outage) countEffects(total int) (pauses [2]time.Duration, err error) {
	text, err := os.ReadFile(o.effects)
	if err != nil {
		return pauses, err
	}
	seen := map[string]int{}
	var times []int64
	for line := range strings.Lines(string(text)) {
		stamp, job, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			return pauses, fmt.Errorf("effect %q: %w", line, err)
		}
		times = append(times, at)
		if seen[job]++; seen[job] > 1 {
			return pauses, fmt.Errorf("the job %q took effect %d times", job, seen[job])
		}
	}
	if len(seen) != total {
		return pauses, fmt.Errorf("%d jobs took effect, want %d", len(seen), total)
	}
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		phase := 0
		if times[i] > o.at.UnixNano() {
			phase = 1
		}
		pauses[phase] = max(pauses[phase], time.Duration(times[i]-times[i-1]))
	}
	return pauses, nil
}

// compareSurvivors verifies the files of those that were not killed, and that
// they hold the same chain. One may have stopped some records before another.
func (o *outage) compareSurvivors() error {
	shared := uint64(math.MaxUint64)
	var dirs []string
	for i := range outageServers {
		if i == o.server {
			continue
		}
		dir := o.serverDir(i)
		state, err := verified(context.Background(), dir)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
		dirs, shared = append(dirs, dir), min(shared, state.Index)
	}
	heads := map[string]bool{}
	for _, dir := range dirs {
		state, err := replayTo(dir, bound{shared, math.MaxInt64})
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
		heads[state.Head.String()] = true
		if len(heads) > 1 {
			return fmt.Errorf("the survivors differ at record %d", shared)
		}
	}
	for head := range heads {
		fmt.Fprintf(o.con.out, "   replay --verify: both survivors hold the same %d records, chain %.12s\n", shared, head)
	}
	return nil
}
