// Stream router: what begins as SSH does goes to the cluster `ssh`, what else comes to `main`.
package export_linkspan_plugin_stream_router

import (
	"bytes"

	. "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/linkspan_plugin_stream_router"
)

func Accepted(id uint64) Option[[]byte] {
	return None[[]byte]()
}

func Decide(id uint64, seen []byte, ended bool) Decision {
	if len(seen) < 4 && !ended {
		return MakeDecisionWait()
	}
	cluster := "main"
	if bytes.HasPrefix(seen, []byte("SSH-")) {
		cluster = "ssh"
	}
	return MakeDecisionForward(Target{Upstreams: []Upstream{MakeUpstreamCluster(cluster)}})
}

func Failed(id uint64, upstream string, trouble Trouble) {
}
