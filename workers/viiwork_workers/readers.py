"""The CPU lane: reads a document and cuts it into engine jobs, and merges their answers to the document's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from viiwork.documents import Document, Limits
from viiwork.documents.chunk import Chunk
from viiwork.documents.merge import replies
from viiwork.documents.outcomes import outcome
from viiwork.documents.reader import refusal
from viiwork.documents.room import Room, at_hand, narrowest, room_for
from viiwork.documents.tasks import each_asked
from viiwork.documents.tokens import TokenCounter
from viiwork.documents.unfold import title_over, worded
from viiwork.errors import DocumentError, JobRefused, StoreUnavailable
from viiwork.jobs import READER_MODEL, Job, Settle, TaskName
from viiwork.roster import WorkerCard
from viiwork.store import Store
from viiwork.store.facade import Pressure
from viiwork.store.leases import Claim
from viiwork.work import About, Answer, FileWork, JobInput, MergeInput, ReadInput, StepInput, Strand
from viiwork_workers.filesteps import FileSteps
from viiwork_workers.footprint import check_archive, check_document, of_archive, of_document
from viiwork_workers.items import answer_of, held_jobs, stands_for
from viiwork_workers.opening import Opening
from viiwork_workers.outcome import HandedOn, Product, Unfolded
from viiwork_workers.pending import Pending

BULK_PARTS = 16
"""A document of more parts than this lets the short ones of its batch pass."""
MIN_PAGED = 2
"""A document of one page, or of a format without pages, gets no page numbers."""


class ReaderSteps:
    """Runs `viiwork.read` and `viiwork.merge`; `files` those of batches that came as a file.

    Every job that a step submits has an id made from the document's own, and is submitted under the step's fence. So
    a step that is run again after a crash submits the same jobs, which are there already, and a step that lost its
    lease submits none.
    """

    def __init__(self, store: Store, *, limits: Limits, max_documents: int, files: FileSteps | None = None) -> None:
        self._store = store
        self._files = files
        self._max_documents = max_documents
        self._open = Opening(store, limits=limits)

    async def close(self) -> None:
        await self._open.close()
        if self._files is not None:
            await self._files.close()

    async def __call__(self, claim: Claim, work: JobInput) -> Product:
        """Raises DocumentError for a document that cannot be read, or a part that failed."""
        if isinstance(work, ReadInput):
            return await self._read(claim, work)
        if isinstance(work, MergeInput):
            return await self._merge(claim, work)
        if isinstance(work, FileWork) and self._files is not None:
            return await self._files(claim, work)
        raise JobRefused("This job is not for a reader.", code="wrong_queue")

    async def _read(self, claim: Claim, work: ReadInput) -> Product:
        first = await self._store.settled(claim.same_as) if claim.same_as else None
        if first and stands_for(claim.same_as, first, work) and (known := answer_of(first)):
            return known
        found = await self._open(claim, work)
        if found.members:
            await self._add(claim, work, held_jobs(claim, work, found.members))
        if why := refusal(found):
            raise why
        if found.document is None:
            return Unfolded()
        return (answer_of(first) if first else None) or await self._cut(claim, work, found.document)

    async def _add(self, claim: Claim, work: ReadInput, held: Sequence[Job]) -> None:
        """Raises DocumentError where that is more documents than are taken, Full while Redis has no room for them.

        Readers that look at the same time may each find room: it bounds what is stored, and is no exact count.
        """
        total = (await self._store.batch(claim.batch)).counts.total
        begun = await self._store.known([held[0].id])  # an earlier attempt had the room
        if not begun and total + len(held) > self._max_documents:
            raise outcome("too_big", f": with its {len(held):,} files the analysis has over {self._max_documents:,}")
        if not begun:
            check_archive(of_archive(len(held), work.options), await self._memory())
        await self._submit(claim, held, like=work)

    async def _cut(self, claim: Claim, work: ReadInput, document: Document) -> Product:
        card = await self._card(claim, work.model)
        room = await asyncio.to_thread(room_for, card, work.task, work.options)
        chunks = await asyncio.to_thread(worded, document, room)
        if not chunks:
            raise DocumentError("The document has no text.", code="empty")
        asked = each_asked(work.options)
        tree = Tree(claim, work.model)
        if not await self._store.known(tree.parts(0, 1)):  # an earlier attempt had the room
            check_document(of_document(len(chunks) * len(asked), work.options), await self._memory())
        pieces = [_step(work, document, room, piece, part=part, parts=len(chunks)) for part, piece in enumerate(chunks)]
        # all questions on one passage together: an engine that has just read it need not read it again
        steps = [step.model_copy(update={"options": options}) for step in pieces for options in asked]
        parts = tree.parts(0, len(steps))
        several = bool(work.options.questions)
        merge = MergeInput(
            parts=() if several else parts,
            strands=tuple(Strand(parts=parts[at :: len(asked)]) for at in range(len(asked))) if several else (),
            task=work.task,
            options=work.options,
            title=room.title(document.title),
            model=work.model,
            pages=len(document.pages),
            characters=document.characters,
            notes=document.notes,
            about=_about(document),
            leaves=len(chunks),
        )
        tokens = [room.frame_tokens + piece.tokens for piece in chunks for _ in asked]
        await self._submit(claim, tree.level(0, merge, steps, tokens), like=work)
        return HandedOn()

    async def _merge(self, claim: Claim, work: MergeInput) -> Product:
        strands = [Pending(self._store, work, at) for at in range(len(work.strands) or 1)]
        for strand in strands:
            await strand.look()
        answers = [strand.answer for strand in strands if strand.answer is not None]
        if len(answers) < len(strands):
            return await self._reduce(claim, work, strands)
        return self._finish(work, replies(work.options.questions, answers) if work.strands else answers[0])

    async def _reduce(self, claim: Claim, work: MergeInput, strands: Sequence[Pending]) -> Product:
        """One more level of the merge tree, for those that have no answer yet."""
        card = await self._card(claim, work.model)
        room = await asyncio.to_thread(room_for, card, work.task, work.options)
        tree, level = Tree(claim, work.model), work.level + 1
        steps, ends = list[StepInput](), list[int]()
        for strand in strands:
            steps += strand.steps(room)
            ends.append(len(steps))
        ids = tree.parts(level, len(steps))
        after = [strand.after(ids[start:end]) for strand, start, end in zip(strands, (0, *ends), ends, strict=False)]
        ways = {"strands": tuple(after)} if work.strands else {"parts": after[0].parts, "below": after[0].below}
        merge = work.model_copy(update={**ways, "level": level})
        await self._submit(claim, tree.level(level, merge, steps, _counts(steps, room.count)), like=work)
        return HandedOn()

    async def _card(self, claim: Claim, model: str) -> WorkerCard:
        """What the model can take, as this step's first attempt saw it.

        Cut in another way, the document would have other parts than those that an earlier attempt submitted.
        """
        card = narrowest((worker.card for worker in (await self._store.fleet()).workers), model)
        return await self._store.pin_card(claim.fence, at_hand(card or await self._store.model_card(model)))

    async def _memory(self) -> Pressure | None:
        with suppress(StoreUnavailable):  # some servers do not tell; one that does not answer shows at the next step
            return await self._store.pressure()
        return None

    def _finish(self, work: MergeInput, answer: Answer) -> Answer:
        """The document's answer, with what was noted of the document."""
        notes = tuple(dict.fromkeys((*work.notes, *answer.notes)))
        return answer.model_copy(
            update={"pages": work.pages, "parts": work.leaves, "notes": notes, "about": work.about}
        )

    async def _submit(self, claim: Claim, jobs: Sequence[Job], *, like: JobInput) -> None:
        await self._store.submit(jobs, fence=claim.fence, like=like)


class Tree:
    """Names and makes the jobs of one document's merge tree."""

    def __init__(self, claim: Claim, model: str) -> None:
        self._claim = claim
        self._model = model
        self._item = claim.item or claim.fence.job
        # A document that is started again gets parts of new names: those of its first life are there, and have ended.
        self._stem = f"{self._item}g{claim.generation}" if claim.generation else self._item

    def parts(self, level: int, count: int) -> tuple[str, ...]:
        return tuple(f"{self._stem}l{level}p{part}" for part in range(count))

    def level(self, level: int, merge: MergeInput, steps: Sequence[StepInput], tokens: Sequence[int]) -> list[Job]:
        """The merge job first: it must be there before the first of its parts can end."""
        ids = self.parts(level, len(steps))
        merge_id = f"{self._stem}m{level}"
        head = self._job(merge_id, merge, waits_for=len(steps), settle=Settle.ALWAYS)
        bulk = len(steps) > BULK_PARTS
        parts = [self._part(i, s, t, merge_id) for i, s, t in zip(ids, steps, tokens, strict=True)]
        return [head, *(part.model_copy(update={"bulk": bulk}) for part in parts)]

    def _part(self, job_id: str, step: StepInput, tokens: int, then: str) -> Job:
        return self._job(job_id, step, settle=Settle.NEVER, then=then).model_copy(update={"prompt_tokens": tokens})

    def _job(
        self, job_id: str, work: StepInput | MergeInput, *, settle: Settle, then: str = "", waits_for: int = 0
    ) -> Job:
        is_step = isinstance(work, StepInput)
        return Job(
            id=job_id,
            tenant=self._claim.tenant,
            lane=self._claim.lane,
            task=TaskName.RUN if is_step else TaskName.MERGE,
            model=self._model if is_step else READER_MODEL,
            input=work,
            batch=self._claim.batch,
            item=self._item,
            settle=settle,
            then=then,
            waits_for=waits_for,
            max_output_tokens=work.options.max_output_tokens if is_step else 0,
        )


def _about(document: Document) -> About:
    return About(title=document.title, author=document.author, created=document.created, language=document.language)


def _step(work: ReadInput, document: Document, room: Room, piece: Chunk, *, part: int, parts: int) -> StepInput:
    title = title_over(piece, document, room)
    return StepInput(
        task=work.task,
        options=work.options,
        title=title,
        marks=room.marks_in(title, piece.text),
        one_turn=room.one_turn,
        document_first=bool(work.options.questions),
        text=piece.text,
        part=part,
        parts=parts,
        start=piece.start,
        page_starts=piece.page_starts if len(document.pages) >= MIN_PAGED else (),
    )


def _counts(steps: Sequence[StepInput], count: TokenCounter) -> list[int]:
    return [count(step.text) for step in steps]
