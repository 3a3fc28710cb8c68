// Rewriter: requests and responses carry the name of this plugin.

// The value of a field is bytes.
const value = Uint8Array.from("by-path", (character) => character.charCodeAt(0));
const edits = [{ tag: "set", val: { name: "x-plugin", value } }];

export const lifecycle = {
  configure(config) {
    if (config !== "{}") throw `expected no keys, found ${config}`;
  },
};

export const requestRewriter = {
  onRequest: () => edits,
};

export const responseRewriter = {
  onResponse: () => edits,
};
