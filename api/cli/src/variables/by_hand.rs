//! The variables that are read without clap.

/// A variable that is read without clap.
pub struct ByHand {
    /// Its name; a last `*` stands for any end.
    pub name: &'static str,
    /// The verbs that read it, by their first word.
    pub readers: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

impl ByHand {
    /// Whether it is told of in the files of variables: those of other programs are for whoever looks for them.
    pub fn is_ours(&self) -> bool {
        ["LUCID_", "MONGO", "BACKUP_"].iter().any(|start| self.name.starts_with(start)) && self.name != "LUCID_LOWERED"
    }
}

const SERVED: &[&str] = &["api", "worker", "serve", "monitor", "dev"];
const BOUND: &[&str] = &["worker", "serve", "monitor", "dev", "repo"];
const STORED: &[&str] = &["worker", "serve", "dev", "repo"];
const BOOTSTRAP: &[&str] = &["bootstrap"];
/// Those who speak to API or monitor.
const VERBS: &[&str] = &[
    "alerts",
    "backup",
    "backups",
    "copy",
    "health",
    "jobs",
    "prune",
    "queues",
    "reencrypt",
    "restore",
    "schedules",
    "token",
    "top",
    "verify",
    "workers",
];
const PRIVATE: &[&str] = &["dev"];

const fn by_hand(name: &'static str, readers: &'static [&'static str], meaning: &'static str) -> ByHand {
    ByHand { name, readers, meaning }
}

/// All of them; a test looks through the code for more.
pub const BY_HAND: [ByHand; 29] = [
    by_hand(
        "MONGODB_URI",
        &["api", "worker", "serve", "monitor", "doctor", "repo", "token"],
        "Connection string, with user and password, where no --mongodb-uri-file is named.",
    ),
    by_hand(
        "LUCID_API_MONGODB_URI",
        &["api", "serve"],
        "Connection string of the API, where it has a user of its own and no --api-mongodb-uri-file is named; else MONGODB_URI is used.",
    ),
    by_hand(
        "MONGO_INITDB_ROOT_PASSWORD",
        BOOTSTRAP,
        "Password of the administrator; this one and each of the next may also stand in a file that the same name with `_FILE` behind it names.",
    ),
    by_hand("MONGO_INITDB_ROOT_PASSWORD_OLD", BOOTSTRAP, "His password before, where it is to be replaced."),
    by_hand(
        "LUCID_API_PASSWORD",
        BOOTSTRAP,
        "Password of `lucid_api`; without it that user isn't made, nor are the next without theirs.",
    ),
    by_hand("LUCID_WORKER_PASSWORD", BOOTSTRAP, "Password of `lucid_worker`."),
    by_hand("LUCID_RESTORE_PASSWORD", BOOTSTRAP, "Password of `lucid_restore`."),
    by_hand("LUCID_MONITOR_PASSWORD", BOOTSTRAP, "Password of `lucid_monitor`."),
    by_hand("LUCID_MIGRATION_PASSWORD", BOOTSTRAP, "Password of `lucid_migration`."),
    by_hand("LUCID_TOKEN", VERBS, "Token that is shown to API and monitor, where no --token-file is named."),
    by_hand(
        "XDG_RUNTIME_DIR",
        &["api", "serve", "monitor"],
        "Folder in which `lucid-ops/token` is kept, and looked for by verbs; root's is `/run/lucid-ops/token`.",
    ),
    by_hand(
        "LUCID_LOG",
        &["api", "worker", "serve", "monitor", "dev", "repo", "token"],
        "What is logged, such as `debug` or `info,mongodb=warn`; services log `info`, verbs `warn`.",
    ),
    by_hand(
        "LUCID_TZDIR",
        SERVED,
        "Folder of time zones by which schedules go, instead of the newest of the system's and those brought along; it must hold some.",
    ),
    by_hand("TZDIR", SERVED, "The same for every program; it may be missing."),
    by_hand("AWS_*", STORED, "Credentials and endpoint of `s3://` repositories that have no --storage-file."),
    by_hand("GOOGLE_*", STORED, "The same for `gs://`."),
    by_hand("AZURE_*", STORED, "The same for `az://`."),
    by_hand(
        "SSL_CERT_FILE",
        &["monitor"],
        "File of certificates that TLS of mail and webhooks trusts, instead of the system's.",
    ),
    by_hand("SSL_CERT_DIR", &["monitor"], "Folder of the same."),
    by_hand(
        "MALLOC_ARENA_MAX",
        BOUND,
        "Where it or one of the next two is set, the heap of the C library isn't bounded by the program itself.",
    ),
    by_hand("MALLOC_MMAP_THRESHOLD_", BOUND, "See there."),
    by_hand("MALLOC_TRIM_THRESHOLD_", BOUND, "See there."),
    by_hand(
        "CREDENTIALS_DIRECTORY",
        SERVED,
        "Set by systemd: the folder of what `LoadCredential=` hands to the service, which nobody else can read.",
    ),
    by_hand("LUCID_LOWERED", &["worker", "serve"], "Set by `--low-priority` itself, for the process that it becomes."),
    by_hand(
        "LUCID_MONGOD",
        PRIVATE,
        "The mongod that is started, instead of that of the `PATH` or one that is fetched.",
    ),
    by_hand("PATH", PRIVATE, "Where a mongod is looked for."),
    by_hand("LUCID_CACHE", PRIVATE, "Folder that a fetched mongod is kept in."),
    by_hand("XDG_CACHE_HOME", PRIVATE, "Else `lucid-ops` in this folder."),
    by_hand("HOME", PRIVATE, "Else `.cache/lucid-ops` in this one."),
];
