// Command plugin is the application of package hooktest as a plugin.
package main

import (
	"encoding/json"
	"os"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/pluginhook"
	"github.com/tus/tusd/internal/hooktest"
)

func main() { pluginhook.Serve(handler{hooktest.Application{Dir: os.Getenv("TUSD_TEST_APPLICATION")}}) }

type handler struct{ application hooktest.Application }

func (handler) Setup() error { return nil }

func (h handler) InvokeHook(r hooks.HookRequest) (hooks.HookResponse, error) {
	message, err := json.Marshal(r)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	answer, err := h.application.Answer(string(r.Type), message)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	return hooks.ParseResponse(answer)
}
