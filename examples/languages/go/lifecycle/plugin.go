package export_linkspan_plugin_lifecycle

import . "go.bytecodealliance.org/pkg/wit/types"

func Configure(config string) Result[Unit, string] {
	if config != "{}" {
		return Err[Unit]("expected no keys, found " + config)
	}
	return Ok[Unit, string](Unit{})
}
