// Stream router: what begins as SSH does goes to the cluster `ssh`, what else comes to `main`.

export const lifecycle = {
  configure(config) {
    if (config !== "{}") throw `expected no keys, found ${config}`;
  },
};

export const streamRouter = {
  accepted(_id) {},

  decide(_id, bytes, ended) {
    if (bytes.length < 4 && !ended) return { tag: "wait" };
    const isSsh = String.fromCharCode(...bytes.slice(0, 4)) === "SSH-";
    const upstreams = [{ tag: "cluster", val: isSsh ? "ssh" : "main" }];
    return { tag: "forward", val: { upstreams } };
  },

  failed(_id, _upstream, _trouble) {},
};
