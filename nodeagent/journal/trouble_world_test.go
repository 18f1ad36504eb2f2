package journal

// crash ends the agent. What it appended is in the page cache; its jobs go on, or
// end and leave their status.
func (w *world) crash() error {
	w.disconnect()
	if err := w.rest(); err != nil {
		return err
	}
	w.up = false
	for _, p := range w.procs {
		if w.r.IntN(3) == 0 && !p.killed {
			p.ended = true
		}
	}
	return w.start()
}

// reboot takes the machine down: processes and a part of what was not synced go.
func (w *world) reboot() error {
	w.disconnect()
	if err := w.rest(); err != nil {
		return err
	}
	w.boot++
	w.procs = nil
	keep := w.disk.synced
	if n := len(w.disk.records) - keep; n > 0 {
		keep += w.r.IntN(n + 1)
	}
	w.disk.records = w.disk.records[:keep]
	w.disk.synced = keep
	return w.start()
}

// killProcess is somebody on the machine who kills a job.
func (w *world) killProcess() {
	for _, p := range w.procs {
		if !p.ended && w.r.IntN(2) == 0 {
			p.killed = true
			return
		}
	}
}

func (w *world) disconnect() {
	w.connected = false
	w.toAgent, w.toCluster = nil, nil
}

// giveUp is an operator who declares an attempt unknown that nobody hears of.
func (w *world) giveUp() {
	if open := w.openAttempts(); len(open) > 0 && !w.connected {
		w.settleAs(open[0], OutcomeUnknown)
	}
}
