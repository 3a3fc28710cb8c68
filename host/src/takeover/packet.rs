//! Lines with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors of a line; the kernel allows 253.
pub(super) const SOCKETS: usize = 64;

/// The most bytes of a line.
const BYTES: usize = 64 << 10;

/// Sends a line, which has its end.
///
/// # Errors
///
/// The system's, such as that there is no room for it.
pub(super) fn send(to: impl AsFd, line: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors at once"));
    }
    let sent = sendmsg(to, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)?;
    if sent < line.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

/// Receives a line, without its end. The system does not give bytes together that came with different
/// descriptors.
///
/// # Errors
///
/// The system's, and an end.
pub(super) fn receive(from: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    // As many as a line may have: what is left of one would come together with the next.
    let mut bytes = vec![0; BYTES];
    while line.pop_if(|last| *last == b'\n').is_none() {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&from, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        let fits = line.len() + received.bytes <= BYTES && descriptors.len() <= SOCKETS;
        if !fits || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("more came than may"));
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(bytes.get(..received.bytes).unwrap_or_default());
    }
    Ok((line, descriptors))
}
