package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func memory() logtest.Subject {
	return logtest.Subject{Open: func(testing.TB, string) logtest.Log { return eventlog.NewMemory() }}
}

func embedded() logtest.Subject {
	return logtest.Subject{Durable: true, Open: func(tb testing.TB, dir string) logtest.Log {
		log, err := eventlog.OpenEmbedded(dir)
		if err != nil {
			tb.Fatal(err)
		}
		return log
	}}
}

func TestMemoryKeepsTheContract(t *testing.T) { logtest.Run(t, memory()) }

func TestEmbeddedKeepsTheContract(t *testing.T) { logtest.Run(t, embedded()) }

func TestEmbeddedLosesNothingAcknowledgedWhenKilled(t *testing.T) {
	logtest.RunKilled(t, embedded(), 3, 300)
}
