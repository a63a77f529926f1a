//! What a server stores of a password (RFC 5803), made here so that the password itself is never
//! part of a statement, which servers write into their logs.

use sha2::{Digest, Sha256};

const ROUNDS: u32 = 4096;

/// The verifier of a password; `None` where its characters would first have to be normalised.
pub(super) fn verifier(password: &str, salt: &[u8; 16]) -> Option<String> {
    if password.is_empty() || !password.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return None;
    }
    let salted = salted(password.as_bytes(), salt);
    let stored = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server = hmac(&salted, &[b"Server Key"]);
    Some(format!("SCRAM-SHA-256${ROUNDS}:{}${}:{}", base64(salt), base64(&stored), base64(&server)))
}

/// Sixteen bytes that nobody can foresee.
pub(super) fn salt() -> [u8; 16] {
    let mut seed = Sha256::new();
    // 62 unforeseeable bits each.
    (0..4).for_each(|_| seed.update(uuid::Uuid::now_v7().as_bytes()));
    let mut salt = [0; 16];
    salt.iter_mut().zip(seed.finalize()).for_each(|(to, from)| *to = from);
    salt
}

/// One block of PBKDF2.
fn salted(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..ROUNDS {
        last = hmac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let hashed = Sha256::digest(key);
    let key: &[u8] = if key.len() > 64 { &hashed } else { key };
    let pad = |with: u8| -> [u8; 64] {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    message.iter().for_each(|part| inner.update(part));
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let shown = DIGITS.get(digit as usize).map_or('=', |b| char::from(*b));
            out.push(if place as usize > chunk.len() { '=' } else { shown });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_the_one_of_rfc_7677() {
        // The example of the RFC: user, password and salt.
        let salt =
            [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        assert_eq!(
            verifier("pencil", &salt).unwrap(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(verifier("pa\u{df}wort", &salt), None);
        assert_ne!(super::salt(), super::salt());
    }
}
