//! The account at an authority: made once, and kept with its key.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Office;
use super::order::Failure;

/// What its file is called.
pub(super) const FILE: &str = "account.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: Json,
}

impl Office {
    /// The account: the one that is known, that is kept, or a new one.
    pub(super) async fn account(&self) -> Result<Account, Failure> {
        let mut account = self.account.lock().await;
        if let Some(account) = &*account {
            return Ok(account.clone());
        }
        let found = match self.kept() {
            Some((kept, credentials)) => self.reuse(kept, credentials).await?,
            None => self.create().await?,
        };
        Ok(account.insert(found).clone())
    }

    /// The account that is kept, if it is of use.
    fn kept(&self) -> Option<(Kept, AccountCredentials)> {
        let read = self.folder().and_then(|folder| folder.read(FILE));
        let parsed = match read {
            Ok(None) => return None,
            Ok(Some(bytes)) => serde_json::from_slice::<Kept>(&bytes).and_then(|kept| {
                let credentials = AccountCredentials::deserialize(&kept.credentials)?;
                Ok((kept, credentials))
            }),
            Err(error) => Err(serde_json::Error::io(error)),
        };
        match parsed {
            Ok(kept) => Some(kept),
            Err(error) => {
                let path = self.path("account").with_file_name(FILE).display().to_string();
                tracing::warn!("{path} is of no use, so that another account is made: {error}");
                None
            }
        }
    }

    async fn reuse(&self, kept: Kept, credentials: AccountCredentials) -> Result<Account, Failure> {
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = builder.from_credentials(credentials).await?;
        let contact = &self.identity.contact;
        if kept.contact != *contact {
            account.update_contacts(&texts(contact)).await?;
            self.write(&Kept { contact: contact.clone(), ..kept })?;
        }
        Ok(account)
    }

    async fn create(&self) -> Result<Account, Failure> {
        let (directory, contact) = (&self.identity.directory, &self.identity.contact);
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let new = NewAccount {
            contact: &texts(contact),
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, directory.to_string(), None).await?;
        let credentials = serde_json::to_value(&credentials).map_err(instant_acme::Error::from)?;
        self.write(&Kept { contact: contact.clone(), credentials })?;
        tracing::info!(directory = &**directory, "an account has been made");
        Ok(account)
    }

    fn write(&self, kept: &Kept) -> Result<(), Failure> {
        let text = serde_json::to_vec(kept).map_err(instant_acme::Error::from)?;
        self.folder().and_then(|folder| folder.write(FILE, &text)).map_err(Failure::Unkept)
    }
}

fn texts(contact: &[String]) -> Vec<&str> {
    contact.iter().map(String::as_str).collect()
}
