//! The folder of the private cluster: where it is, whose it is, and who keeps it.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{config::Database, startup::Trouble};

/// The longest path of a Unix socket.
const SOCKET_PATH: usize = 107;
/// The file that PostgreSQL makes in the socket's folder.
const SOCKET_FILE: &str = "/.s.PGSQL.5432";

/// The folder of the private cluster.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    data: PathBuf,
    socket: PathBuf,
    /// The user that PostgreSQL runs as, when that is not ourselves.
    user: Option<(u32, u32)>,
}

/// Where the data folder is, and who we are.
pub struct Place {
    /// The data folder, which may not be there yet.
    pub base: PathBuf,
    me: u32,
    user: Option<(u32, u32)>,
}

impl Place {
    /// The place that the settings mean.
    ///
    /// # Errors
    /// When there is none.
    pub async fn of(config: &Database) -> Result<Self, Trouble> {
        let me = id(&["-u"]).await.unwrap_or(u32::MAX);
        let user = if me == 0 { Some(postgres_user().await?) } else { None };
        let base = match (&config.data_dir, user, &config.user_data_dir) {
            (Some(named), _, _) => std::path::absolute(named).map_err(|error| unusable(named, &error.to_string()))?,
            // Root's home is closed to everybody else.
            (None, Some(_), _) => PathBuf::from("/var/lib/agentflow"),
            (None, None, Some(folder)) => folder.clone(),
            (None, None, None) => {
                return Err(Trouble::new(
                    "There is no folder for the data: HOME is not set.",
                    "Name one with AGENTFLOW_DATA_DIR, or name a database with DATABASE_URL.",
                ));
            }
        };
        Ok(Self { base, me, user })
    }
}

impl Folder {
    /// Finds the folder, makes it if it is not there, and gives it to the user that PostgreSQL runs as.
    ///
    /// # Errors
    /// When it cannot be made, or that user could not reach it.
    pub async fn open(config: &Database) -> Result<Self, Trouble> {
        let Place { base, me, user } = Place::of(config).await?;
        let root = base.join("postgres");
        fs::create_dir_all(&base).map_err(|error| unusable(&base, &error.to_string()))?;
        private(&root, user)?;
        if let Some((uid, gid)) = user {
            reachable(&base, uid, gid)?;
        }
        let socket = socket_folder(&root, me, user)?;
        Ok(Self { data: root.join("data"), root, socket, user })
    }

    /// Takes the folder for this process, or says that another one keeps it.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn lock(&self) -> Result<Option<File>, Trouble> {
        let path = self.root.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| unusable(&path, &error.to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unusable(&path, &error.to_string())),
        }
    }

    /// The folder of everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cluster.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where a cluster is made before it is whole.
    #[must_use]
    pub fn draft(&self) -> PathBuf {
        self.root.join("data.new")
    }

    /// Removes what a start that was killed has left of a cluster.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove_draft(&self) -> Result<(), Trouble> {
        match fs::remove_dir_all(self.draft()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&self.draft(), &error.to_string())),
            _ => Ok(()),
        }
    }

    /// Whether a cluster is here.
    #[must_use]
    pub fn has_cluster(&self) -> bool {
        self.data.join("PG_VERSION").is_file()
    }

    /// The version of PostgreSQL that made the cluster.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        Some(fs::read_to_string(self.data.join("PG_VERSION")).ok()?.trim().to_owned())
    }

    /// A command of PostgreSQL's, as the right user, that sees nothing of our environment.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Without a locale, macOS starts threads in PostgreSQL, which refuses them.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The folder of the socket: beside the data, unless that path is too long for a socket.
fn socket_folder(root: &Path, me: u32, user: Option<(u32, u32)>) -> Result<PathBuf, Trouble> {
    let beside = root.join("socket");
    let folder = if beside.as_os_str().len() + SOCKET_FILE.len() <= SOCKET_PATH {
        beside
    } else {
        let hash = Sha256::digest(root.as_os_str().as_bytes());
        let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        PathBuf::from("/tmp").join(format!("agentflow-{name}"))
    };
    private(&folder, user)?;
    // Somebody else may have made a folder of this name in a place that everybody can write to.
    let owner = fs::symlink_metadata(&folder).map_err(|error| unusable(&folder, &error.to_string()))?;
    let expected = user.map_or(me, |(uid, _)| uid);
    if !owner.is_dir() || (expected != u32::MAX && owner.uid() != expected) {
        return Err(unusable(&folder, "it belongs to somebody else"));
    }
    Ok(folder)
}

/// Makes a folder that only PostgreSQL's user can enter.
fn private(folder: &Path, user: Option<(u32, u32)>) -> Result<(), Trouble> {
    let make = || -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        if fs::symlink_metadata(folder)?.is_dir() {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
            if let Some((uid, gid)) = user {
                chown(folder, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    };
    make().map_err(|error| unusable(folder, &error.to_string()))
}

/// Whether a user that is not ourselves can come to this folder at all.
fn reachable(folder: &Path, uid: u32, gid: u32) -> Result<(), Trouble> {
    for ancestor in folder.ancestors() {
        let about = fs::metadata(ancestor).map_err(|error| unusable(ancestor, &error.to_string()))?;
        let bits = about.mode();
        let may = match (about.uid() == uid, about.gid() == gid) {
            (true, _) => bits & 0o100,
            (false, true) => bits & 0o010,
            (false, false) => bits & 0o001,
        };
        if may == 0 {
            return Err(Trouble::new(
                format!(
                    "{} is closed to the user postgres, which PostgreSQL runs as when AgentFlow is started by root.",
                    ancestor.display()
                ),
                "Name a folder that is reachable with AGENTFLOW_DATA_DIR, or start AgentFlow as another user.",
            ));
        }
    }
    Ok(())
}

/// The user and the group `postgres`.
async fn postgres_user() -> Result<(u32, u32), Trouble> {
    match (id(&["-u", "postgres"]).await, id(&["-g", "postgres"]).await) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(Trouble::new(
            "PostgreSQL refuses to run as root, and there is no user postgres to run it as.",
            "Install PostgreSQL from packages (they make that user), add it (useradd --system postgres), or start \
             AgentFlow as another user.",
        )),
    }
}

async fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().await.ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.status.success())
}

/// The folder cannot be used.
pub fn unusable(path: &Path, why: &str) -> Trouble {
    Trouble::new(
        format!("{} cannot be used: {why}.", path.display()),
        "Mend that, name another folder with AGENTFLOW_DATA_DIR, or name a database with DATABASE_URL.",
    )
}
