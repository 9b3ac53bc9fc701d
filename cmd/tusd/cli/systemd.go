package cli

import (
	"context"
	"log/slog"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd about a change of state, if systemd has started this
// process.
func notify(state string, logger *slog.Logger) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		logger.Warn("systemd cannot be notified", "state", state, "err", err)
	}
}

// feedWatchdog tells systemd that the process is alive, twice in each
// WatchdogSec of the unit, until ctx ends.
func feedWatchdog(ctx context.Context, logger *slog.Logger) {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("watchdog of systemd", "err", err)
	}
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		notify(systemd.SdNotifyWatchdog, logger)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
