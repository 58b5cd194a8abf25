//! The users of a replica set: the two that we make, and those that we did not.
//!
//! Source: MongoDB 6.0 manual, "User Management Commands".

use mongodb::bson::{Bson, Document, doc};
use value::Problem;

use super::admin::{ADMIN, APPLICATION, Admin, Login, MemberAddress, code, failed, no_primary};
use super::data;

// MongoDB's error code (`src/mongo/base/error_codes.yml`).
const USER_EXISTS: i32 = 51_003;

impl Admin {
    /// Creates the administrator, and then, as the administrator, the application's user.
    pub(super) async fn create_users(&self) -> Result<(), Problem> {
        let primary = self.primary().await.ok_or_else(|| no_primary("Creating users"))?;
        if !self.opens(&primary, Login::Administrator).await {
            let administrator = doc! { "createUser": ADMIN, "pwd": &self.secrets.admin_password, "roles": ["root"] };
            match self.run(&primary, Login::Member, administrator).await {
                Ok(_) => {}
                Err(error) if code(&error) == Some(USER_EXISTS) => {
                    return Err(Problem::error(
                        "the replica set has other credentials",
                        "Its administrator's password is not the one on record, so it cannot be managed. If the set was made by somebody else, give this layer another `name`.",
                    ));
                }
                Err(error) => return Err(failed("Creating the administrator", &error)),
            }
        }
        if self.opens(&primary, Login::Application).await {
            return Ok(());
        }
        let user = |command: &str| {
            doc! {
                command: APPLICATION,
                "pwd": &self.secrets.app_password,
                "roles": [{ "role": "readWrite", "db": &self.database }],
                "writeConcern": { "w": "majority", "wtimeout": 20_000 },
            }
        };
        let mut made = self.run(&primary, Login::Administrator, user("createUser")).await;
        if made.as_ref().is_err_and(|error| code(error) == Some(USER_EXISTS)) {
            // Somebody gave it another password, or made it: it becomes ours.
            made = self.run(&primary, Login::Administrator, user("updateUser")).await;
        }
        made.map(drop).map_err(|error| failed("Creating the application's user", &error))
    }

    async fn opens(&self, member: &MemberAddress, login: Login) -> bool {
        self.run(member, login, doc! { "ping": 1 }).await.is_ok()
    }

    /// Users that we did not make, and ours with what we did not give them; none if nobody can be asked.
    pub(super) async fn other_users(&self) -> Vec<String> {
        for member in self.members() {
            let users = doc! { "usersInfo": { "forAllDBs": true } };
            let Ok(answer) = self.run(member, Login::Administrator, users).await else { continue };
            let Ok(users) = answer.get_array("users") else { continue };
            return others(users);
        }
        Vec::new()
    }

    /// Nobody else can have got in where the set is new.
    pub(super) async fn refuse_other_users(&self) -> Result<(), Problem> {
        let others = self.other_users().await;
        if others.is_empty() { Ok(()) } else { Err(other_users_problem(Problem::error, &others)) }
    }
}

pub(super) fn other_users_problem(level: fn(String, String) -> Problem, others: &[String]) -> Problem {
    let detail = format!(
        "{} {} in the replica set, and lampwright did not make {}. If you did, all is well. Else somebody has got in: remove it (`dropUser`), look at the data, and give the layer new credentials by making it anew.",
        others.join(", "),
        if others.len() == 1 { "is" } else { "are" },
        if others.len() == 1 { "it" } else { "them" },
    );
    level("the replica set has users of somebody else's".to_owned(), detail)
}

/// `name@database (role@database, ..)` of each that is not just as we make it.
fn others(users: &[Bson]) -> Vec<String> {
    let text = |document: &Document, name: &str| document.get_str(name).unwrap_or_default().to_owned();
    let users = users.iter().filter_map(Bson::as_document).filter_map(|user| {
        let roles = user.get_array("roles").into_iter().flatten().filter_map(Bson::as_document);
        let roles: Vec<String> = roles.map(|role| format!("{}@{}", text(role, "role"), text(role, "db"))).collect();
        let name = format!("{}@{}", text(user, "user"), text(user, "db"));
        // The application keeps what it may do in a database that it had before.
        let is_of_application =
            |role: &String| role.strip_prefix("readWrite@").is_some_and(|database| !data::INTERNAL.contains(&database));
        let is_ours = (name == format!("{ADMIN}@admin") && roles.iter().all(|role| role == "root@admin"))
            || (name == format!("{APPLICATION}@admin") && roles.iter().all(is_of_application));
        (!is_ours).then(|| format!("{name} ({})", roles.join(", ")))
    });
    let mut users: Vec<String> = users.collect();
    users.sort();
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_we_did_not_make_are_told_with_their_roles() {
        let user = |name: &str, db: &str, role: &str, of: &str| {
            Bson::Document(doc! { "user": name, "db": db, "roles": [{ "role": role, "db": of }] })
        };
        let ours = [user("lampwright", "admin", "root", "admin"), user("app", "admin", "readWrite", "shop")];
        assert_eq!(others(&ours), Vec::<String>::new());
        let found = [user("thief", "admin", "root", "admin"), user("app", "admin", "root", "admin")];
        assert_eq!(others(&found), ["app@admin (root@admin)", "thief@admin (root@admin)"]);
        let grown = user("app", "admin", "readWrite", "admin");
        assert_eq!(others(&[grown]), ["app@admin (readWrite@admin)"]);
        // Of another database it is another user.
        assert_eq!(others(&[user("app", "shop", "readWrite", "shop")]), ["app@shop (readWrite@shop)"]);
    }
}
