// Balancer: every path has its endpoint.

import { crc32 } from "linkspan:plugin/hashing@0.1.0";

// The endpoints, in the order of the configuration.
let endpoints = [];

export const lifecycle = {
  configure(config) {
    if (config !== "{}") throw `expected no keys, found ${config}`;
  },
};

export const balancer = {
  update(_cluster, all) {
    endpoints = all.map(({ id, state }) => ({ id, usable: state.usable }));
  },

  changed(_cluster, states) {
    for (const [id, { usable }] of states) {
      for (const endpoint of endpoints) if (endpoint.id === id) endpoint.usable = usable;
    }
  },

  pick(_cluster, attempt, _previous) {
    const usable = endpoints.filter((endpoint) => endpoint.usable);
    if (usable.length === 0) return { tag: "none" };
    // Numbers of 32 bits arrive with a sign.
    const hash = (crc32({ tag: "path" }) ?? 0) >>> 0;
    // Where one could not be connected to, the next is tried.
    const place = (hash + attempt) % usable.length;
    return { tag: "endpoint", val: { id: usable[place].id, token: 0 } };
  },
};
