// Router: what begins with `/api/` goes to the cluster `api`.

#include "plugin.h"
#include <string.h>

// What arguments point at belongs to the function that is called.
bool exports_linkspan_plugin_lifecycle_configure(plugin_string_t *config, plugin_string_t *err) {
  bool is_empty = config->len == sizeof "{}" - 1;
  plugin_string_free(config);
  if (!is_empty) plugin_string_dup(err, "expected no keys");
  return is_empty;
}

void exports_linkspan_plugin_router_route(exports_linkspan_plugin_router_decision_t *decision) {
  static const char prefix[] = "/api/";
  plugin_string_t path;
  linkspan_plugin_request_path(&path);
  bool is_api = path.len >= strlen(prefix) && memcmp(path.ptr, prefix, strlen(prefix)) == 0;
  plugin_string_free(&path);
  memset(decision, 0, sizeof *decision);
  decision->tag = EXPORTS_LINKSPAN_PLUGIN_ROUTER_DECISION_NEXT;
  if (!is_api) return;
  decision->tag = EXPORTS_LINKSPAN_PLUGIN_ROUTER_DECISION_FORWARD;
  decision->val.forward.upstream.tag = EXPORTS_LINKSPAN_PLUGIN_ROUTER_UPSTREAM_CLUSTER;
  plugin_string_dup(&decision->val.forward.upstream.val.cluster, "api");
}
