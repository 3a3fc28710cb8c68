// Stream router: what begins as SSH does goes to the cluster `ssh`, what else comes to `main`.

#include "plugin.h"
#include <stdlib.h>
#include <string.h>

typedef exports_linkspan_plugin_stream_router_decision_t decision_t;
typedef exports_linkspan_plugin_stream_router_upstream_t upstream_t;

// What arguments point at belongs to the function that is called.
bool exports_linkspan_plugin_lifecycle_configure(plugin_string_t *config, plugin_string_t *err) {
  bool is_empty = config->len == sizeof "{}" - 1;
  plugin_string_free(config);
  if (!is_empty) plugin_string_dup(err, "expected no keys");
  return is_empty;
}

bool exports_linkspan_plugin_stream_router_accepted(uint64_t id, plugin_list_u8_t *greeting) {
  return false;
}

void exports_linkspan_plugin_stream_router_decide(uint64_t id, plugin_list_u8_t *bytes, bool ended, decision_t *decision) {
  bool is_short = bytes->len < 4;
  bool is_ssh = !is_short && memcmp(bytes->ptr, "SSH-", 4) == 0;
  plugin_list_u8_free(bytes);
  memset(decision, 0, sizeof *decision);
  decision->tag = EXPORTS_LINKSPAN_PLUGIN_STREAM_ROUTER_DECISION_WAIT;
  if (is_short && !ended) return;
  upstream_t *upstream = malloc(sizeof *upstream);
  if (upstream == NULL) abort();
  upstream->tag = EXPORTS_LINKSPAN_PLUGIN_STREAM_ROUTER_UPSTREAM_CLUSTER;
  plugin_string_dup(&upstream->val.cluster, is_ssh ? "ssh" : "main");
  decision->tag = EXPORTS_LINKSPAN_PLUGIN_STREAM_ROUTER_DECISION_FORWARD;
  decision->val.forward.upstreams.ptr = upstream;
  decision->val.forward.upstreams.len = 1;
}

void exports_linkspan_plugin_stream_router_failed(uint64_t id, plugin_string_t *upstream, uint8_t trouble) {
  plugin_string_free(upstream);
}
