package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/internal/bench/crowd"
	"quorate/internal/soak/lab"
)

// agentProcesses are the processes of a crowd of agents, and what they have said. Its
// methods are for one goroutine.
type agentProcesses struct {
	processes []*lab.Process
	read      []int64 // of each one's log, in bytes
	at        map[string]string
	words     []word
}

// niceness is by how much agents, and their jobs, stand back behind orchestrators: they
// would not be on the same machine.
const niceness = "5"

// A word is a line of an agent's log.
type word struct {
	Time   time.Time
	Agent  string `json:"name"`
	Text   string `json:"msg"`
	Server string
	Error  string
}

// newProcesses prepares the agents in so many processes of this test binary, all below dir.
func newProcesses(dir string, spec crowd.Spec, processes int) (*agentProcesses, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec.Dir = filepath.Join(dir, "agents")
	if err := os.MkdirAll(spec.Dir, 0o700); err != nil {
		return nil, err
	}
	c := &agentProcesses{read: make([]int64, processes), at: map[string]string{}}
	for i := range processes {
		part := spec
		part.Agents = nil
		for k := i; k < len(spec.Agents); k += processes {
			part.Agents = append(part.Agents, spec.Agents[k])
		}
		text, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, fmt.Sprintf("crowd%d.json", i))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
		log := filepath.Join(dir, fmt.Sprintf("crowd%d.log", i))
		c.processes = append(c.processes, lab.NewProcess(fmt.Sprintf("crowd%d", i), log, []string{crowd.Variable + "=" + path}, "nice", "-n", niceness, self))
	}
	return c, nil
}

// Start starts all agents at once.
func (c *agentProcesses) Start() error {
	for _, p := range c.processes {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all agents in good order.
func (c *agentProcesses) Stop() error {
	c.at = map[string]string{}
	ends := make(chan error, len(c.processes))
	for _, p := range c.processes {
		go func() { ends <- p.Stop() }()
	}
	var failed error
	for range c.processes {
		if err := <-ends; err != nil {
			failed = err
		}
	}
	c.Listen()
	c.at = map[string]string{}
	return failed
}

// Kill ends all agents without warning.
func (c *agentProcesses) Kill() {
	for _, p := range c.processes {
		p.Kill()
	}
}

// Memory returns the resident sets of all processes together, in bytes.
func (c *agentProcesses) Memory() (sum int64, err error) {
	for _, p := range c.processes {
		bytes, err := p.Memory()
		if err != nil {
			return 0, err
		}
		sum += bytes
	}
	return sum, nil
}

// CPU returns the time that all processes have spent on processors.
func (c *agentProcesses) CPU() (sum time.Duration, err error) {
	for _, p := range c.processes {
		used, err := p.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Listen reads what the agents have said since it was called last.
func (c *agentProcesses) Listen() []word {
	var news []word
	for i, p := range c.processes {
		text := p.LogFrom(c.read[i])
		whole := strings.LastIndexByte(text, '\n') + 1
		c.read[i] += int64(whole)
		for line := range strings.Lines(text[:whole]) {
			var w word
			if json.Unmarshal([]byte(line), &w) != nil {
				w = word{Text: line} // of the runtime
			}
			switch w.Text {
			case "connected":
				c.at[w.Agent] = w.Server
			case "connection lost", crowd.Ended:
				delete(c.at, w.Agent)
			}
			news = append(news, w)
		}
	}
	c.words = append(c.words, news...)
	return news
}

// At returns the server that each connected agent is connected to, as it says.
func (c *agentProcesses) At() map[string]string {
	c.Listen()
	return c.at
}

// Since returns what the agents have said since a moment, process by process.
func (c *agentProcesses) Since(moment time.Time) []word {
	c.Listen()
	var since []word
	for _, w := range c.words {
		if !w.Time.Before(moment) {
			since = append(since, w)
		}
	}
	return since
}
