// Balancer: every path has its endpoint.

#include "plugin.h"

typedef exports_linkspan_plugin_balancer_list_endpoint_t endpoints_t;
typedef exports_linkspan_plugin_balancer_list_tuple2_endpoint_id_endpoint_state_t states_t;
typedef exports_linkspan_plugin_balancer_picked_t picked_t;
typedef exports_linkspan_plugin_balancer_choice_t choice_t;

// The endpoints, in the order of the configuration.
static endpoints_t endpoints;

// What arguments point at belongs to the function that is called.
bool exports_linkspan_plugin_lifecycle_configure(plugin_string_t *config, plugin_string_t *err) {
  bool is_empty = config->len == sizeof "{}" - 1;
  plugin_string_free(config);
  if (!is_empty) plugin_string_dup(err, "expected no keys");
  return is_empty;
}

void exports_linkspan_plugin_balancer_update(uint32_t cluster, endpoints_t *all) {
  exports_linkspan_plugin_balancer_list_endpoint_free(&endpoints);
  endpoints = *all;
}

void exports_linkspan_plugin_balancer_changed(uint32_t cluster, states_t *states) {
  for (size_t i = 0; i < states->len; i++) {
    for (size_t j = 0; j < endpoints.len; j++) {
      if (endpoints.ptr[j].id == states->ptr[i].f0) endpoints.ptr[j].state = states->ptr[i].f1;
    }
  }
  exports_linkspan_plugin_balancer_list_tuple2_endpoint_id_endpoint_state_free(states);
}

void exports_linkspan_plugin_balancer_pick(uint32_t cluster, uint32_t attempt, picked_t *previous, choice_t *choice) {
  linkspan_plugin_hashing_key_t path = {.tag = LINKSPAN_PLUGIN_HASHING_KEY_PATH};
  uint32_t hash = 0, usable = 0;
  for (size_t i = 0; i < endpoints.len; i++) usable += endpoints.ptr[i].state.usable;
  choice->tag = EXPORTS_LINKSPAN_PLUGIN_BALANCER_CHOICE_NONE;
  if (usable == 0) return;
  linkspan_plugin_hashing_crc32(&path, &hash);
  // Where one could not be connected to, the next is tried.
  uint32_t place = (hash + attempt) % usable;
  for (size_t i = 0; i < endpoints.len; i++) {
    if (!endpoints.ptr[i].state.usable || place-- > 0) continue;
    choice->tag = EXPORTS_LINKSPAN_PLUGIN_BALANCER_CHOICE_ENDPOINT;
    choice->val.endpoint = (picked_t){.id = endpoints.ptr[i].id};
    return;
  }
}
