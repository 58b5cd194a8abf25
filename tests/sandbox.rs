//! A folder for one test, and the programs run in it with nothing of the surroundings but what a test needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    /// A loopback network of its own, so that tests can run side by side.
    pub(crate) network: String,
    /// What the programs see besides: credentials of clouds.
    pub(crate) environment: Vec<(String, String)>,
}

#[must_use = "look at the output, or say .success()"]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        // Short, for unix sockets; and where nobody can get to.
        let folder = tempfile::Builder::new().prefix("lw").tempdir_in("/tmp").expect("a folder");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).expect("permissions");
        // nextest runs each test in a process of its own, cargo test all in one.
        let number = std::process::id().wrapping_mul(7) + NEXT.fetch_add(1, Ordering::Relaxed);
        let network = format!("127.{}.{}.0/20", 100 + number % 100, number / 100 % 16 * 16);
        Sandbox { folder, network, environment: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// As `write`, of a file that may only be read.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        std::fs::remove_file(self.join(name)).expect("removed");
        self.write(name, text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// The settings of the provider that keep machines inside of the sandbox.
    pub(crate) fn provider_block(&self) -> String {
        format!(
            "provider \"lampwright\" {{\n  scope = \"t\"\n  cloud \"local\" {{\n    driver   = \"local\"\n    settings = {{ root = \"{}\", network = \"{}\" }}\n  }}\n}}\n",
            self.join("m").display(),
            self.network
        )
    }

    /// A stack that calls the lamp module, with machines inside of the sandbox.
    pub(crate) fn write_lamp_stack(&self) {
        copy(&repository().join("modules/lamp"), &self.join("lamp"));
        let variables = "variable \"web_nodes\" { default = 2 }\nvariable \"db_members\" { default = 3 }\n";
        let call = "module \"lamp\" {\n  source     = \"../lamp\"\n  web_nodes  = var.web_nodes\n  db_members = var.db_members\n\n  db_on_destroy = \"delete\"\n}\n";
        let outputs = "output \"url\" { value = module.lamp.url }\noutput \"nodes\" { value = module.lamp.nodes }\n";
        self.write(
            "stack/main.stack.hcl",
            &format!("stack \"shop\" {{}}\n{variables}{}{call}{outputs}", self.provider_block()),
        );
    }

    #[expect(clippy::print_stdout, reason = "what took how long is part of a test's result")]
    pub(crate) fn lampwright(&self, folder: &str, args: &[&str]) -> Ran {
        let started = Instant::now();
        let ran = Ran::of(self.lampwright_command(folder, args).output().expect("lampwright runs"));
        // Shown where a test fails, or with --no-capture.
        println!("lampwright {} → exit {} after {:.1} s", args.join(" "), ran.code, started.elapsed().as_secs_f32());
        ran
    }

    pub(crate) fn lampwright_command(&self, folder: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampwright"));
        command.args(args).current_dir(self.join(folder)).stdin(Stdio::null()).env_clear();
        for name in ["PATH", "HOME", "LAMPWRIGHT_CACHE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command
    }

    /// Text without what differs from run to run: paths, and times.
    pub(crate) fn stable(&self, text: &str) -> String {
        let text = text.replace(&self.path().display().to_string(), "[sandbox]");
        text.replace(&repository().display().to_string(), "[repository]")
    }

    /// The folder of a machine.
    pub(crate) fn machine(&self, name: &str) -> PathBuf {
        let scopes = std::fs::read_dir(self.join("m")).expect("machines").flatten().map(|entry| entry.path());
        scopes
            .map(|scope| scope.join(name))
            .find(|machine| machine.is_dir())
            .unwrap_or_else(|| panic!("no machine {name}"))
    }

    pub(crate) fn pid(&self, machine: &str, service: &str) -> i32 {
        let path = self.machine(machine).join("run").join(format!("{service}.pid"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a pid")
    }

    /// Kills the whole process group of a machine, as if it had lost power.
    pub(crate) fn kill_machine(&self, machine: &str, service: &str) {
        let pid = self.pid(machine, service);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let group: i32 =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok()).expect("a group");
        let group = rustix::process::Pid::from_raw(group).expect("not zero");
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("killed");
    }

    /// The names of all machines that exist, and `kept` where data of some is.
    pub(crate) fn machines(&self) -> Vec<String> {
        let scopes =
            std::fs::read_dir(self.join("m")).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        let machines = scopes.flat_map(|scope| std::fs::read_dir(scope.path()).expect("a scope").flatten());
        let mut names: Vec<String> = machines.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Processes that work in the sandbox, apart from those of a command that still runs.
    pub(crate) fn daemons(&self) -> Vec<i32> {
        let root = self.join("m");
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let in_sandbox = entries.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = std::fs::read_link(entry.path().join("cwd")).ok()?;
            folder.starts_with(&root).then_some(pid)
        });
        in_sandbox.collect()
    }
}

/// Whatever a failed test has left running ends with it.
impl Drop for Sandbox {
    fn drop(&mut self) {
        for pid in self.daemons() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    #[track_caller]
    pub(crate) fn failure(self) -> String {
        assert_eq!(self.code, 1, "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let name = entry.file_name();
        // What a demo on this machine has left.
        if name.to_string_lossy().starts_with('.') || name.to_string_lossy().contains(".tfstate") {
            continue;
        }
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(name)),
            false => drop(std::fs::copy(entry.path(), to.join(name)).expect("copied")),
        }
    }
}

/// Plugins run in the folder of the stack; one whose host was killed may still finish what it was asked for.
pub(crate) fn no_plugin_in(sandbox: &Sandbox, folder: &str) -> bool {
    let stack = sandbox.join(folder);
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok()).all(|folder| folder != stack)
}

/// Waits for a condition; says what it waited for when the deadline passes.
#[track_caller]
pub(crate) fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < until, "{what} did not happen within {deadline:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
