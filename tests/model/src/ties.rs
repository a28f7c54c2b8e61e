// SPDX-License-Identifier: GPL-2.0

//! What the model transcribes, as it was when it was transcribed. Whoever changes one of these
//! lines changes the transcription as well, and then the copy here.

/// A file, its content, and what was transcribed of it.
struct Tie {
    path: &'static str,
    content: &'static str,
    parts: &'static [&'static str],
}

macro_rules! tie {
    ($path:literal, $($part:literal,)*) => {
        Tie {
            path: $path,
            content: include_str!(concat!("../../../", $path)),
            parts: &[$($part),*],
        }
    };
}

const TIES: &[Tie] = &[
    // wait_queue.rs
    tie!(
        "rust/kernel/wait_queue.rs",
        "spin_lock_irqsave(lock);
         insert_before((*head).head.next, &raw mut (*at).entry);
         insert_before(&raw mut (*head).head, &raw mut (*end).entry);

         loop {
             let mut next = (*at).entry.next;
             for _ in 0..CHUNK {
                 if next == &raw mut (*end).entry {
                     break;
                 }
                 let waiter = container_of!(next, bindings::wait_queue_entry, entry);
                 next = (*next).next;
                 if let Some(wake) = (*waiter).func {
                     wake(waiter, bindings::TASK_NORMAL, 0, events);
                 }
             }

             remove(&raw mut (*at).entry);
             if next == &raw mut (*end).entry {
                 break;
             }
             insert_before(next, &raw mut (*at).entry);

             spin_unlock_irqrestore(lock, flags);
             cond_resched();
             flags = spin_lock_irqsave(lock);
         }

         remove(&raw mut (*end).entry);
         spin_unlock_irqrestore(lock, flags);",
        "smp_mb();

         for queue in queues {
             if !queue.is_empty() {
                 queue.walk();
             }
         }",
        "unsafe { bindings::add_wait_queue(self.head.get(), waiter) };

         let result = loop {
             smp_mb();

             match check() {
                 ControlFlow::Break(result) => break result,",
        "unsafe { bindings::wait_woken(waiter, bindings::TASK_INTERRUPTIBLE, timeout) };",
        "unsafe { bindings::remove_wait_queue(self.head.get(), waiter) };
         result",
    ),
    // generation.rs
    tie!(
        "rust/sysgenid/hwid.rs",
        "unsafe { HwId([self.0.read_volatile(), self.0.add(1).read_volatile()]) }",
        "self.processed.is_pending(|| self.place())",
        "self.processed.reseed(place, reseed)",
    ),
    tie!(
        "src/sysgenid/generation.rs",
        "if self.is_pending() {
             self.catch_up();
         }",
        "for _ in 0..ATTEMPTS {
             self.with_change(|change| self.process(change));
             if !self.is_pending() {
                 return;
             }
         }",
        "pub(crate) fn notify(&self) {
             self.refresh();
             self.wake();
         }",
        "if self.is_pending() {
             unless_rt(|| self.process(&self.change.lock()));
         }",
        "let result = f(&mut self.change.lock());

         self.wake();
         result",
        "self.watchers.wake(&self.page, || {
             WaitQueue::wake_all_of([&self.changed, &self.settled]);
         });",
        "if self.is_pending() {
             self.process_pending(change);
         }",
        "let Some((hwid, reseeded)) = self.hwid.reseed(|hwid| source.reseed(hwid)) else {
             return;
         };

         let next = self.current().saturating_add(1);",
        "self.watchers.advance(
             &change.tracked,
             &self.page,
             self.hwid.processed(),
             next,
             report.as_ref().map(|report| &report.hwid),
         );",
        "let advanced = self.with_change(|change| {
             self.process(change);
             let next = next(self.current())?;",
        "self.with_change(|change| {
             if !change.has_hwid {
                 self.hwid.processed().publish(&self.page, hwid);",
        "self.page
             .set_hwid_offset(Some((paddr % PAGE_SIZE as u64) as u32));
         }
         self.process(change);",
        "if !track {
             return self.current();
         }

         let mut change = self.change.lock();
         self.watchers.join(&mut change.tracked, &self.page)",
        "let is_settled = self.watchers.track(
             &mut self.change.lock().tracked,
             descriptor.word(),
             &self.page,
         );
         if is_settled {
             self.settled.wake_all();
         }",
        "let is_settled = self.watchers.forget(
             &mut self.change.lock().tracked,
             descriptor.word(),
             &self.page,
         );
         if is_settled {
             self.settled.wake_all();
         }",
        "Acknowledged::No => return Err(EINVAL),
         Acknowledged::Yes => (),
         Acknowledged::ByAll => self.settled.wake_all(),",
        "self.changed.wait(|| {
             self.refresh();

             if self.outdated_by(descriptor).is_some() {
                 ControlFlow::Break(Ok(()))",
        "self.settled.wait(|| {
             self.refresh();

             if self.outdated_by(descriptor).is_some() {
                 return ControlFlow::Break(Settled::Interrupted);
             }
             if self.is_settled(descriptor) {
                 return ControlFlow::Break(Settled::Yes);
             }",
    ),
];

/// The code alone: without comments, and with single spaces.
fn code(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What was transcribed, but stands there no longer.
pub fn broken() -> Vec<String> {
    TIES.iter()
        .flat_map(|tie| {
            let content = code(tie.content);
            tie.parts
                .iter()
                .map(|part| code(part))
                .filter(move |part| !content.contains(part))
                .map(|part| format!("{}: {part}", tie.path))
        })
        .collect()
}
