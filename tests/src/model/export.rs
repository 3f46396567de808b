//! Everything that is stored, in the order of an export.

use chrono::SubsecRound as _;
use windlass_core::id::JobId;
use windlass_core::job::Job;
use windlass_host::store::{Exported, Record};

use super::state::State;

impl State {
    pub(super) fn exported(&self) -> Vec<Exported> {
        let mut items = Vec::new();
        for (digest, bytes) in &self.blobs {
            items.push(Exported::Blob { digest: *digest, size_bytes: bytes.len() as u64 });
            items.push(Exported::Piece(bytes.to_vec()));
        }
        // What says that an import has not ended is not part of what is exported.
        let records = self.records.values().filter(|record| !matches!(record, Record::Import(_)));
        items.extend(records.map(|record| Exported::Record(Box::new(record.clone()))));
        self.jobs.iter().for_each(|(id, job)| self.job(*id, job, &mut items));
        let mut keys: Vec<Exported> = self
            .keys
            .iter()
            .map(|(key, held)| {
                let taken = key.expires().then(|| held.at.trunc_subsecs(6));
                Exported::Key { key: key.clone(), taken, job: held.by }
            })
            .collect();
        keys.sort_by_key(|key| key.rank(None));
        items.extend(keys);
        items
    }

    fn job(&self, id: JobId, job: &Job, items: &mut Vec<Exported>) {
        items.push(Exported::Job {
            spec: job.spec.clone(),
            flow: job.flow.clone(),
            status: Box::new(job.status.clone()),
        });
        let instances = job.instances.values().map(|instance| Exported::Instance(Box::new(instance.clone())));
        items.extend(instances);
        let entries = self.entries(id, 0, usize::MAX).into_iter();
        items.extend(entries.map(|entry| Exported::Entry(Box::new(entry))));
        let notes = self.notes.iter().filter(|((job, _, _), _)| *job == id);
        items.extend(notes.map(|((_, task, name), value)| {
            let (task, name, value) = (task.clone(), name.clone(), value.clone());
            Exported::Note { task, name, value }
        }));
    }
}
