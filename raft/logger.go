package raft

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/lni/dragonboat/v4/logger"
)

// setLogger guards the library's one logger per process: setting it twice panics.
var setLogger sync.Once

func useLogger(log *slog.Logger) {
	setLogger.Do(func() {
		logger.SetLoggerFactory(func(pkg string) logger.ILogger {
			return &libraryLogger{log: log.With("raft", pkg), quiet: pkg == "config"}
		})
	})
}

// libraryLogger passes on what the library logs, some levels lower: its
// information is of use to its authors, and it warns of every vote.
type libraryLogger struct {
	log *slog.Logger
	// quiet is for package config, which warns about a transport that is not used.
	quiet bool
}

func (l *libraryLogger) logf(level slog.Level, format string, args []any) {
	if l.quiet {
		level = slog.LevelDebug
	}
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}

// SetLevel implements logger.ILogger; the handler decides instead.
func (l *libraryLogger) SetLevel(logger.LogLevel) {}

// Debugf implements logger.ILogger.
func (l *libraryLogger) Debugf(format string, args ...any) {
	l.logf(slog.LevelDebug-4, format, args)
}

// Infof implements logger.ILogger.
func (l *libraryLogger) Infof(format string, args ...any) { l.logf(slog.LevelDebug, format, args) }

// Warningf implements logger.ILogger.
func (l *libraryLogger) Warningf(format string, args ...any) { l.logf(slog.LevelDebug, format, args) }

// Errorf implements logger.ILogger.
func (l *libraryLogger) Errorf(format string, args ...any) { l.logf(slog.LevelError, format, args) }

// Panicf implements logger.ILogger. The library relies on it not to return.
func (l *libraryLogger) Panicf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error(text)
	panic(text)
}
