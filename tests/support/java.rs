//! A release of Apache RocketMQ, from Maven: its jars, our Java programs compiled against them,
//! and the command line that runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};

use crate::process::lock;

/// Releases that the tests run against.
pub const VERSIONS: [&str; 3] = ["4.9.7", "5.3.3", "5.4.0"];

/// Packages that 5.x moved from `common.protocol` to `remoting.protocol`.
const MOVED: [&str; 6] = ["header", "heartbeat", "route", "body", "RequestCode", "ResponseCode"];

/// What 5.x needs on Java 17; 4.9 runs with it too.
const OPENED: [&str; 6] = [
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
];

/// The jars of one release, and our programs compiled against them.
#[derive(Debug, Clone)]
pub struct Release {
    /// For example `5.3.3`.
    pub version: String,
    jars: PathBuf,
    classes: PathBuf,
}

impl Release {
    /// Fetches the jars and compiles the programs, once: the result stays in
    /// `tests/compat/java/target`.
    ///
    /// # Errors
    /// Why Apache's software cannot run here.
    pub fn prepare(version: &str) -> Result<Self, String> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = lock(&ONE_AT_A_TIME);
        find_tools()?;
        let target = folder().join("target");
        let jars = target.join("jars").join(version);
        fetch_jars(version, &jars)?;
        let release = Self {
            version: version.to_owned(),
            jars,
            classes: target.join("classes").join(version),
        };
        release.compile(&target.join("src").join(version))?;
        Ok(release)
    }

    /// Whether this is a 5.x release.
    pub fn is_five(&self) -> bool {
        self.version.starts_with("5.")
    }

    /// A command that runs a class of ours or of Apache's, with everything it would otherwise
    /// write to the home folder kept in `home`.
    pub fn java(&self, home: &Path, options: &[&str], class: &str, arguments: &[&str]) -> Command {
        let quiet = folder().join("conf/logback_quiet.xml");
        let mut command = Command::new("java");
        command.args(OPENED).args(options);
        command.arg(format!("-Duser.home={}", home.display()));
        command.arg(format!("-Drocketmq.client.logRoot={}", home.join("logs").display()));
        for key in ["logback.configurationFile", "rmq.logback.configurationFile"] {
            // The servers name their own.
            if !class.contains("Startup") || class.contains("MQAdmin") {
                command.arg(format!("-D{key}={}", quiet.display()));
            }
        }
        command.arg("-cp").arg(format!("{}:{}/*", self.classes.display(), self.jars.display()));
        command.arg(class).args(arguments).env("ROCKETMQ_HOME", home);
        command
    }

    /// Runs a program to its end and gives its standard output.
    ///
    /// # Panics
    /// With what it printed, if it fails.
    pub fn run(&self, class: &str, arguments: &[&str]) -> String {
        let home = tempfile::tempdir().unwrap();
        let output = self.java(home.path(), &["-Xmx256m"], class, arguments).output().unwrap();
        assert!(output.status.success(), "{class} {arguments:?}: {}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn compile(&self, sources: &Path) -> Result<(), String> {
        let stamp = self.classes.join("compiled");
        let text: String = SOURCES.iter().map(|(_, source)| *source).collect();
        if fs::read_to_string(&stamp).is_ok_and(|compiled| compiled == text) {
            return Ok(());
        }
        let _ = fs::remove_dir_all(&self.classes);
        fs::create_dir_all(sources).and(fs::create_dir_all(&self.classes)).map_err(text_of)?;
        let mut javac = Command::new("javac");
        javac
            .args(["-nowarn", "-encoding", "UTF-8", "-cp"])
            .arg(format!("{}/*", self.jars.display()));
        javac.arg("-d").arg(&self.classes);
        for (name, original) in SOURCES {
            let path = sources.join(name);
            fs::write(&path, self.adapt(original)).map_err(text_of)?;
            javac.arg(path);
        }
        let output = javac.output().map_err(text_of)?;
        if !output.status.success() {
            return Err(both(&output));
        }
        fs::write(stamp, text).map_err(text_of)
    }

    /// The programs use the package names of 5.x.
    fn adapt(&self, source: &str) -> String {
        let mut source = source.to_owned();
        if !self.is_five() {
            for name in MOVED {
                let five = format!("org.apache.rocketmq.remoting.protocol.{name}");
                source =
                    source.replace(&five, &format!("org.apache.rocketmq.common.protocol.{name}"));
            }
        }
        source
    }
}

/// The Java programs, by the name of their file.
const SOURCES: [(&str, &str); 4] = [
    ("Admin.java", include_str!("../compat/java/src/Admin.java")),
    ("Client.java", include_str!("../compat/java/src/Client.java")),
    ("Filters.java", include_str!("../compat/java/src/Filters.java")),
    ("Golden.java", include_str!("../compat/java/src/Golden.java")),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/java")
}

fn find_tools() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            for tool in ["java", "javac", "mvn"] {
                let found = Command::new(tool).arg("-version").output();
                if !found.is_ok_and(|output| output.status.success()) {
                    return Err(format!(
                        "`{tool}` is not here; install a JDK (17 or later) and Maven"
                    ));
                }
            }
            Ok(())
        })
        .clone()
}

fn fetch_jars(version: &str, jars: &Path) -> Result<(), String> {
    let complete = jars.join("complete");
    if complete.exists() {
        return Ok(());
    }
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(folder().join("pom.xml"))
        .arg(format!("-Drocketmq.version={version}"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .map_err(text_of)?;
    if !output.status.success() {
        return Err(format!("Maven could not bring the jars: {}", both(&output)));
    }
    fs::write(complete, version).map_err(text_of)
}

/// Standard output and error of a program that has ended.
pub(crate) fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn text_of(error: std::io::Error) -> String {
    error.to_string()
}
