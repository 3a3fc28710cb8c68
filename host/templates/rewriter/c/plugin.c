// Rewriter: requests and responses carry the name of this plugin.

#include "plugin.h"
#include <stdlib.h>

// What arguments point at belongs to the function that is called.
bool exports_linkspan_plugin_lifecycle_configure(plugin_string_t *config, plugin_string_t *err) {
  bool is_empty = config->len == sizeof "{}" - 1;
  plugin_string_free(config);
  if (!is_empty) plugin_string_dup(err, "expected no keys");
  return is_empty;
}

// What results point at is freed when they have been read.
static linkspan_plugin_edits_edit_t *name(void) {
  linkspan_plugin_edits_edit_t *edit = malloc(sizeof *edit);
  if (edit == NULL) abort();
  plugin_string_t value;
  plugin_string_dup(&value, "by-path");
  edit->tag = LINKSPAN_PLUGIN_EDITS_EDIT_SET;
  plugin_string_dup(&edit->val.set.name, "x-plugin");
  edit->val.set.value = (plugin_list_u8_t){.ptr = value.ptr, .len = value.len};
  return edit;
}

void exports_linkspan_plugin_request_rewriter_on_request(exports_linkspan_plugin_request_rewriter_list_edit_t *edits) {
  edits->ptr = name();
  edits->len = 1;
}

void exports_linkspan_plugin_response_rewriter_on_response(exports_linkspan_plugin_response_rewriter_list_edit_t *edits) {
  edits->ptr = name();
  edits->len = 1;
}
