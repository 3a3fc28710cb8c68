// Rewriter: requests carry the name of this plugin.
package export_linkspan_plugin_request_rewriter

import . "wit_component/linkspan_plugin_edits"

func OnRequest() []Edit {
	return []Edit{MakeEditSet(Field{Name: "x-plugin", Value: []byte("by-path")})}
}
