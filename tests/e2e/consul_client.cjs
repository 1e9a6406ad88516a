// The tutorial's calls and more with npm's `consul`, against whatever listens at the address given. Prints what a program
// that uses the package would see, as one JSON object.
//
//   NODE_PATH=.../node_modules node consul_client.cjs HOST PORT TARGET_URL
"use strict";
const Consul = require("consul");
const [host, port, target] = process.argv.slice(2);
const consul = new Consul({ host, port });
const seen = {};

async function failure(work) {
  try {
    await work();
    return "no error";
  } catch (error) {
    return `${error.name}: ${error.statusCode || error.response?.statusCode}: ${error.message}`;
  }
}

async function until(look, what) {
  for (let round = 0; round < 100; round += 1) {
    const value = await look();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not within ten seconds: ${what}`);
}

const passing = async () => (await consul.health.service({ service: "node-web", passing: true })).map((row) => row.Service.ID);

async function watched() {
  const changes = [];
  const watch = consul.watch({ method: consul.health.service, options: { service: "node-web", passing: true }, backoffFactor: 100 });
  watch.on("change", (rows) => changes.push(rows.length));
  const errors = [];
  watch.on("error", (error) => errors.push(String(error)));
  await until(() => changes.length > 0, "the first answer");
  await consul.agent.check.fail({ id: "service:node-web", note: "out" });
  await until(() => changes.at(-1) === 0, "the change");
  watch.end();
  return { first: changes[0], last: changes.at(-1), errors };
}

async function main() {
  // the tutorial
  await consul.agent.service.register({ name: "node-web", port: 8080, tags: ["node"], check: { ttl: "60s" } });
  seen.critical = await passing();
  await consul.agent.check.pass({ id: "service:node-web", note: "fine" });
  seen.passing = await until(async () => { const ids = await passing(); return ids.length && ids; }, "passing");
  const [row] = await consul.health.service({ service: "node-web" });
  seen.service = { port: row.Service.Port, tags: row.Service.Tags, checks: row.Checks.map((check) => check.CheckID).sort() };
  // a check that is made there
  await consul.agent.service.register({
    name: "node-http", id: "node-http-1", address: "127.0.0.1", port: 1,
    checks: [{ http: target, interval: "1s", timeout: "2s", deregistercriticalserviceafter: "90m" }, { tcp: new URL(target).host, interval: "1s" }],
  });
  await until(async () => (await consul.health.service({ service: "node-http", passing: true })).length === 1, "the http check passes");
  seen.http = (await consul.health.checks("node-http")).map((check) => [check.CheckID, check.Status, check.Type]).sort();
  await until(async () => Object.keys(await consul.agent.check.list()).length >= 3, "checks");
  // the rest
  seen.watched = await watched();
  await consul.agent.check.warn("service:node-web");
  seen.checks = Object.fromEntries(Object.entries(await consul.agent.check.list()).map(([id, check]) => [id, check.Status]));
  seen.services = Object.keys(await consul.agent.service.list()).sort();
  await consul.agent.check.register({ name: "node-load", ttl: "30s" });
  await consul.agent.check.deregister("node-load");
  await consul.agent.service.maintenance({ id: "node-http-1", enable: true, reason: "swap" });
  seen.maintenance = await until(async () => (await passing()).length === 0 && "out of order", "maintenance");
  await consul.agent.service.maintenance({ id: "node-http-1", enable: false });
  seen.members = (await consul.agent.members()).map((member) => member.Status);
  seen.self = Object.keys((await consul.agent.self()).Config).sort();
  seen.datacenters = (await consul.catalog.datacenters()).length;
  const [node] = await consul.catalog.node.list();
  seen.node = Object.keys((await consul.catalog.node.services(node.Node)).Services).filter((id) => id.startsWith("node-")).sort();
  seen.catalog = (await consul.catalog.service.nodes("node-web")).map((one) => one.ServiceID);
  seen.names = Object.keys(await consul.catalog.service.list()).filter((name) => name.startsWith("node-")).sort();
  seen.nodeChecks = (await consul.health.node(node.Node)).map((check) => check.CheckID).filter((id) => id.startsWith("serf"));
  seen.state = (await consul.health.state("warning")).map((check) => check.CheckID);
  seen.leader = typeof (await consul.status.leader());
  seen.peers = (await consul.status.peers()).length;
  seen.errors = {
    ttl: (await failure(() => consul.agent.check.pass("none"))).replace(/(: )\d+(:)/, "$1STATUS$2"),
    name: await failure(() => consul.agent.service.register({ port: 1 })),
    join: (await failure(() => consul.agent.join("127.0.0.1:1"))).startsWith("ConsulError") || "another kind of error",
  };
  await consul.agent.service.deregister("node-http-1");
  await consul.agent.service.deregister({ id: "node-web" });
  seen.gone = await until(async () => (await consul.health.service("node-web")).length === 0 && "gone", "gone");
  process.stdout.write(JSON.stringify(seen));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
