// Rewriter: responses carry the name of this plugin.
package export_linkspan_plugin_response_rewriter

import . "wit_component/linkspan_plugin_edits"

func OnResponse() []Edit {
	return []Edit{MakeEditSet(Field{Name: "x-plugin", Value: []byte("by-path")})}
}
