// Balancer: every path has its endpoint.
package export_linkspan_plugin_balancer

import (
	. "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/linkspan_plugin_balancer"
	"wit_component/linkspan_plugin_hashing"
)

// The endpoints, in the order of the configuration.
var endpoints []Endpoint

func Update(cluster uint32, all []Endpoint) {
	endpoints = all
}

func Changed(cluster uint32, states []Tuple2[uint32, EndpointState]) {
	for _, changed := range states {
		for place := range endpoints {
			if endpoints[place].Id == changed.F0 {
				endpoints[place].State = changed.F1
			}
		}
	}
}

func Pick(cluster uint32, attempt uint32, previous Option[Picked]) Choice {
	var usable []uint32
	for _, endpoint := range endpoints {
		if endpoint.State.Usable {
			usable = append(usable, endpoint.Id)
		}
	}
	if len(usable) == 0 {
		return MakeChoiceNone()
	}
	hash := linkspan_plugin_hashing.Crc32(linkspan_plugin_hashing.MakeKeyPath()).SomeOr(0)
	// Where one could not be connected to, the next is tried.
	place := int(hash+attempt) % len(usable)
	return MakeChoiceEndpoint(Picked{Id: usable[place]})
}
