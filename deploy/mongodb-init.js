// Makes a replica set with an administrator, and a user with a role of its own for each service of Lucid Ops, for those who have a real shell.
// `lucid-ops bootstrap` does the same without one, waits for members, and makes the engine's collections, too, which otherwise the first worker
// makes. It may be run again: what is there and fits stays.
//
// On the first member, once all members are up, with the variables of deploy/env/mongodb-init.env:
//   env $(grep -v '^#' deploy/env/mongodb-init.env) mongosh --quiet --norc mongodb://127.0.0.1:27017/?directConnection=true deploy/mongodb-init.js
'use strict';

// Made of the roles in schemas/src/roles.rs: `cargo run -p lucid-schemas --example roles`.
const ROLES = {
  lucid_ops_api: [
    {"actions":["getParameter"],"resource":{"cluster":true}},
    {"actions":["listCollections"],"resource":{"collection":"","db":""}},
    {"actions":["find","listCollections","listIndexes"],"resource":{"collection":"","db":"lucid_ops"}},
    {"actions":["collStats"],"resource":{"collection":"oplog.rs","db":"local"}},
    {"actions":["insert","update"],"resource":{"collection":"idempotency","db":"lucid_ops"}},
    {"actions":["changeStream","insert","update"],"resource":{"collection":"ops","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"queues","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"schedules","db":"lucid_ops"}},
  ],
  lucid_ops_worker: [
    {"actions":["getParameter"],"resource":{"cluster":true}},
    {"actions":["collStats","find","listCollections","listIndexes"],"resource":{"collection":"","db":""}},
    {"actions":["collStats","find","listIndexes"],"resource":{"db":"","system_buckets":""}},
    {"actions":["collMod","createCollection","createIndex","find","listCollections","listIndexes"],"resource":{"collection":"","db":"lucid_ops"}},
    {"actions":["collStats"],"resource":{"collection":"oplog.rs","db":"local"}},
    {"actions":["insert","update"],"resource":{"collection":"migrations","db":"lucid_ops"}},
    {"actions":["changeStream","insert","remove","update"],"resource":{"collection":"ops","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"ops_details","db":"lucid_ops"}},
    {"actions":["insert","update"],"resource":{"collection":"repositories","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"schedules","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"workers","db":"lucid_ops"}},
  ],
  lucid_ops_restore: [
    {"actions":["getParameter","serverStatus"],"resource":{"cluster":true}},
    {"actions":["bypassDocumentValidation","collMod","collStats","convertToCapped","createCollection","createIndex","dropCollection","dropDatabase","find","insert","listCollections","listIndexes","remove","update"],"resource":{"collection":"","db":""}},
    {"actions":["bypassDocumentValidation","collStats","find","insert","listIndexes","remove","update"],"resource":{"db":"","system_buckets":""}},
    {"actions":["dbStats"],"resource":{"collection":"","db":"admin"}},
    {"actions":["collMod","createCollection","createIndex","find","listCollections","listIndexes"],"resource":{"collection":"","db":"lucid_ops"}},
    {"actions":["collStats"],"resource":{"collection":"oplog.rs","db":"local"}},
    {"actions":["insert","update"],"resource":{"collection":"migrations","db":"lucid_ops"}},
    {"actions":["changeStream","insert","remove","update"],"resource":{"collection":"ops","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"ops_details","db":"lucid_ops"}},
    {"actions":["insert","update"],"resource":{"collection":"repositories","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"schedules","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"workers","db":"lucid_ops"}},
  ],
  lucid_ops_monitor: [
    {"actions":["getParameter","replSetGetConfig","replSetGetStatus","serverStatus"],"resource":{"cluster":true}},
    {"actions":["collStats","listCollections"],"resource":{"collection":"","db":""}},
    {"actions":["dbStats"],"resource":{"collection":"","db":"admin"}},
    {"actions":["collStats","listCollections"],"resource":{"collection":"","db":"config"}},
    {"actions":["find","listCollections","listIndexes"],"resource":{"collection":"","db":"lucid_ops"}},
    {"actions":["collStats","find"],"resource":{"collection":"oplog.rs","db":"local"}},
    {"actions":["changeStream","insert","remove","update"],"resource":{"collection":"ops","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"ops_details","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"silences","db":"lucid_ops"}},
    {"actions":["insert","remove","update"],"resource":{"collection":"workers","db":"lucid_ops"}},
  ],
  lucid_ops_migration: [
    {"actions":["bypassDocumentValidation","changeStream","collMod","collStats","convertToCapped","createCollection","createIndex","dbStats","dropCollection","dropIndex","find","indexStats","insert","listCollections","listIndexes","remove","renameCollectionSameDB","update","validate"],"resource":{"collection":"","db":"lucid"}},
  ],
};
// The end of made roles.

const SERVICES = ['api', 'worker', 'restore', 'monitor', 'migration'];
const MAJORITY = { w: 'majority', wtimeout: 10000 };
const PATIENCE_MS = 60000;

function variable(name, otherwise) {
  const value = process.env[name] || otherwise;
  if (!value) throw new Error(`${name} isn't set: take the variables of deploy/env/mongodb-init.env`);
  return value;
}

const admin = db.getSiblingDB('admin');

// The answer of a command, whatever it is: shells throw where a server refuses.
function ask(command) {
  try {
    return admin.runCommand(command);
  } catch (error) {
    return { ok: 0, code: error.code, errmsg: error.message };
  }
}

function done(command) {
  const answer = ask(command);
  if (answer.ok !== 1) throw new Error(`${Object.keys(command)[0]}: ${answer.errmsg}`);
  return answer;
}

function waitForPrimary() {
  const end = Date.now() + PATIENCE_MS;
  while (!done({ hello: 1 }).isWritablePrimary) {
    if (Date.now() > end) throw new Error('this member is no primary: run it there, or look why there is none');
    sleep(200);
  }
}

const set = variable('MONGO_REPLICA_SET', 'rs0');
const members = variable('LUCID_BOOTSTRAP_MEMBERS').split(',');
const administrator = variable('MONGO_INITDB_ROOT_USERNAME', 'lucid');
const password = variable('MONGO_INITDB_ROOT_PASSWORD');

function logIn() {
  try {
    return Boolean(admin.auth(administrator, password));
  } catch (error) {
    return false;
  }
}

const known = logIn();
if (!known) {
  // The first member alone, so that its primary is there at once and the first user can be made over loopback.
  const begun = ask({ replSetInitiate: { _id: set, members: [{ _id: 0, host: members[0] }] } });
  if (begun.ok === 1) print(`made the set ${set} of ${members[0]}`);
  waitForPrimary();
  done({ createUser: administrator, pwd: password, roles: [{ role: 'root', db: 'admin' }], mechanisms: ['SCRAM-SHA-256'], writeConcern: MAJORITY });
  print(`made the administrator ${administrator}`);
  if (!logIn()) throw new Error(`${administrator} can't log in`);
}
waitForPrimary();

// One after the other, and each only when most members know of the one before: so a set takes new members.
const end = Date.now() + PATIENCE_MS;
for (;;) {
  const config = done({ replSetGetConfig: 1 }).config;
  const host = members.find((each) => config.members.every((member) => member.host !== each));
  if (host === undefined) break;
  const id = Math.max(...config.members.map((member) => Number(member._id))) + 1;
  const version = Number(config.version) + 1;
  const answer = ask({ replSetReconfig: { ...config, version, members: [...config.members, { _id: id, host }] } });
  if (answer.ok === 1) print(`added ${host}`);
  else if (Date.now() > end) throw new Error(`${host} can't be added: ${answer.errmsg}`);
  else sleep(500);
}

for (const [role, privileges] of Object.entries(ROLES)) {
  const verb = done({ rolesInfo: role }).roles.length > 0 ? 'updateRole' : 'createRole';
  done({ [verb]: role, privileges, roles: [], writeConcern: MAJORITY });
  print(`${verb} ${role}`);
}
for (const service of SERVICES) {
  const user = `lucid_${service}`;
  const pwd = variable(`LUCID_${service.toUpperCase()}_PASSWORD`);
  const verb = done({ usersInfo: user }).users.length > 0 ? 'updateUser' : 'createUser';
  done({ [verb]: user, pwd, roles: [{ role: `lucid_ops_${service}`, db: 'admin' }], mechanisms: ['SCRAM-SHA-256'], writeConcern: MAJORITY });
  print(`${verb} ${user}`);
}
