package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// ListenUnix opens a unix socket for [ServeListener], which only the orchestrator's own
// user may open. A socket that a dead process left is replaced.
func ListenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode counts from the first moment on: a socket that is opened up to
	// others for an instant could be connected to in it.
	before := syscall.Umask(0o177)
	ln, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("API socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("API socket: %w", errors.Join(err, ln.Close()))
	}
	return ln, nil
}

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("API socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("API socket %s: there is a file of that name that is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("API socket %s: another orchestrator answers there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("API socket: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("API socket: %w", err)
	}
	return nil
}

// ServeTLS serves the API over HTTPS until ctx ends. The configuration is
// [pki.OperatorServerTLS]'s: every client has to show an operator's certificate.
func ServeTLS(ctx context.Context, h http.Handler, ln net.Listener, config *tls.Config) error {
	if config == nil || config.ClientAuth < tls.RequireAnyClientCert || config.VerifyConnection == nil {
		return errors.Join(errors.New("HTTPS API: a TLS configuration that verifies operators is needed"), ln.Close())
	}
	return ServeListener(ctx, h, tls.NewListener(ln, config))
}

// ServeListener serves the API on a listener until ctx ends, and closes it. Only
// connections of a unix socket count as local.
func ServeListener(ctx context.Context, h http.Handler, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: h, ConnContext: connContext,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // streams end with it
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytesMax,
		ErrorLog: errorLog(h),
	}
	stopped := make(chan struct{})
	go func() { // ends with ctx, which this function cancels, and is waited for
		defer close(stopped)
		<-ctx.Done()
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer done()
		if err := server.Shutdown(stop); err != nil {
			_ = server.Close() // what is still under way is cut off
		}
	}()
	err := server.Serve(ln)
	interrupted := ctx.Err() != nil
	cancel()
	<-stopped
	if interrupted && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("API on %s: %w", ln.Addr(), err)
}

// errorLog is where the HTTP server tells of connections that fail, such as TLS
// handshakes, in the handler's own log; nil is the standard log. Strangers make as many of
// these as they like, so they are for who looks for them.
func errorLog(h http.Handler) *log.Logger {
	if own, ok := h.(*Handler); ok {
		return slog.NewLogLogger(own.logger.Handler(), slog.LevelDebug)
	}
	return nil
}
