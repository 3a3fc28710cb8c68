// Router: what begins with `/api/` goes to the cluster `api`.
package export_linkspan_plugin_router

import (
	"strings"

	"wit_component/linkspan_plugin_request"
	. "wit_component/linkspan_plugin_router"
)

func Route() Decision {
	if !strings.HasPrefix(linkspan_plugin_request.Path(), "/api/") {
		return MakeDecisionNext()
	}
	return MakeDecisionForward(Target{Upstream: MakeUpstreamCluster("api")})
}
