// Command ours is a plugin that does what the id of an upload says.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/pluginhook"
)

func main() { pluginhook.Serve(handler{}) }

type handler struct{}

// Setup writes a line for each start.
func (handler) Setup() error {
	f, err := os.OpenFile(os.Getenv("TUSD_TEST_STARTS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return err
	}
	switch os.Getenv("TUSD_TEST_SETUP") {
	case "fail":
		return errors.New("no database")
	case "hang":
		select {}
	}
	return f.Close()
}

func (handler) InvokeHook(r hooks.HookRequest) (response hooks.HookResponse, err error) {
	switch r.Event.Upload.ID {
	case "exit":
		os.Exit(3)
	case "child": // that has the standard error, and ends long after its parent
		cmd := exec.Command("sleep", "300")
		cmd.Stderr = os.NewFile(2, "stderr")
		if err := cmd.Start(); err != nil {
			return response, err
		}
		os.Exit(3)
	case "panic":
		panic("boom")
	case "hang":
		fmt.Println("hanging")
		select {}
	case "fail":
		return hooks.HookResponse{RejectUpload: true}, errors.New("not today")
	case "write":
		fmt.Println("to standard output")
		fmt.Fprintln(os.Stderr, "to standard error")
		println("below standard error")
		println("[DEBUG] a detail")
		println("[ERROR] a fault")
	case "all":
		return hooks.HookResponse{
			HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X-Why": "quota"}},
			RejectUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60, StopUpload: true,
			ChangeFileInfo: hooks.FileInfoChanges{
				ID: "b", MetaData: map[string]string{}, Storage: map[string]string{"Path": "e"}, Owner: "f", Expires: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
			},
		}, nil
	default:
		message, err := json.Marshal(r)
		return hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{Body: string(message)}}, err
	}
	return response, nil
}
