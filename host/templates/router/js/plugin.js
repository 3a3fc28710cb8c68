// Router: what begins with `/api/` goes to the cluster `api`.

import { path } from "linkspan:plugin/request@0.1.0";

export const lifecycle = {
  configure(config) {
    if (config !== "{}") throw `expected no keys, found ${config}`;
  },
};

export const router = {
  route() {
    if (!path().startsWith("/api/")) return { tag: "next" };
    return { tag: "forward", val: { upstream: { tag: "cluster", val: "api" } } };
  },
};
