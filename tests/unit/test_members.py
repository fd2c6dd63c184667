"""What is found inside archives and e-mails, whatever is done to them. In this process."""

from __future__ import annotations

import base64
import io
import quopri
import random
import stat
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.documents_made import PNG, make_docx, make_mail, make_pdf, make_pptx, make_xlsx
from viiwork.documents import Limits
from viiwork.documents.attachments import LINE_BYTES, MAX_PARSING_BYTES, work
from viiwork.documents.contents import Contents, Member
from viiwork.documents.held import shown
from viiwork.documents.outcomes import Unread
from viiwork.documents.parse import look_into

TEXT = b"The tenant pays the rent on the first of each month.\n"
Files = dict[str, bytes]


def make_archive(files: Files, *, packed: bool = True) -> bytes:
    """A ZIP archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_message(text: str, attached: Files, *, inside: EmailMessage | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"], mail["Message-ID"] = (
        "Rent",
        "ada@example.org",
        "bob@example.org",
        "<1@x>",
    )
    mail.set_content(text)
    for name, data in attached.items():
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    if inside is not None:
        mail.add_attachment(inside)
    return mail


def without_a_name(data: bytes) -> bytes:
    """An archive of one file that has no name at all; `zipfile` itself writes none."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), 0, 0)
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), 0, 0, 0, 0, 0, 0, 0
    )
    begins = len(local + data)
    return local + data + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), begins, 0)


@pytest.fixture
def look(tmp_path: Path):
    def looking(data: bytes, name: str = "all.zip", way: tuple[int, ...] = (), **limits: int) -> Contents:
        path = tmp_path / "blob"
        path.write_bytes(data)
        return look_into(path, name=name, limits=Limits(**limits), way=way)

    return looking


def said(members: tuple[Member, ...]) -> dict[str, str]:
    """Each file's name, and the outcome that it has."""
    assert len({member.name for member in members}) == len(members)
    return {member.name: member.code for member in members}


class TestArchives:
    def test_each_file_is_found_and_its_way_leads_to_it(self, look):
        data = make_archive({"2019/a.txt": TEXT, "2019/": b"", "b.pdf": make_pdf(["A page."]), "c.docx": make_docx()})
        found = look(data)
        assert found.document is None
        assert said(found.members) == {"2019/a.txt": "", "b.pdf": "", "c.docx": ""}
        for member in found.members:
            inside = look(data, member.name, member.way)
            assert inside.document and inside.document.text
            assert inside.members == ()

    def test_an_archive_that_begins_with_a_pdf_as_it_is_stays_an_archive(self, look):
        data = make_archive({"a.pdf": make_pdf(["A page."])}, packed=False)
        assert said(look(data).members) == {"a.pdf": ""}

    def test_archives_in_archives_are_opened_three_deep(self, look):
        data = make_archive({"x.txt": TEXT})
        for name in ("d.zip", "c.zip", "b.zip"):
            data = make_archive({name: data, f"beside {name}.txt": TEXT})
        members = look(data).members
        assert said(members) == {
            "b.zip/c.zip/d.zip": "too_deep",
            "b.zip/c.zip/beside d.zip.txt": "",
            "b.zip/beside c.zip.txt": "",
            "beside b.zip.txt": "",
        }
        deepest = next(member for member in members if member.name.endswith("d.zip.txt"))
        assert look(data, "d.txt", deepest.way).document.text == TEXT.decode().strip()

    def test_names_lead_nowhere_and_are_told_apart(self, look):
        data = make_archive(
            {"../../etc/passwd": TEXT, "/etc/passwd": TEXT, "C:\\etc\\passwd": TEXT, "\x1b[31m\u202e.txt": TEXT}
        )
        assert list(said(look(data).members)) == ["etc/passwd", "etc/passwd (2)", "etc/passwd (3)", "[31m.txt"]

    def test_a_name_that_stands_twice_is_two_files(self, look):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", TEXT)
            archive.writestr("a.txt", b"another")
        first, second = look(out.getvalue()).members
        assert (first.name, second.name) == ("a.txt", "a (2).txt")
        assert look(out.getvalue(), "a.txt", second.way).document.text == "another"

    @pytest.mark.parametrize(("flag", "written"), [(False, "Müller.txt"), (True, "Müller.txt")])
    def test_names_are_read_as_utf8_whether_they_say_so_or_not(self, look, flag, written):
        data = make_archive({written: TEXT})
        if not flag:  # as programs write it that do not know the flag
            data = data.replace(struct.pack("<H", 0x800), struct.pack("<H", 0))
        assert list(said(look(data).members)) == ["Müller.txt"]

    @pytest.mark.parametrize("nameless", [b"", b"\0bcd"])
    def test_a_file_without_a_name_costs_none_of_the_others(self, look, nameless):
        """Neither in its archive nor in the one around that."""
        inner = make_archive({"abcd": TEXT, "b.txt": TEXT}, packed=False).replace(b"abcd", nameless)
        if not nameless:  # the lengths of the name in both headers, and where what follows it stands
            inner = without_a_name(TEXT)
        names = list(said(look(make_archive({"in.zip": inner, "c.txt": TEXT})).members).items())
        assert names[0] == ("in.zip/unnamed", "")
        assert names[-1] == ("c.txt", "")
        (first, *_) = look(inner).members
        assert look(inner, first.name, first.way).document.text == TEXT.decode().strip()

    def test_a_symbolic_link_is_not_followed(self, look):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            link = zipfile.ZipInfo("link.txt")
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
            archive.writestr("a.txt", TEXT)
        assert said(look(out.getvalue()).members) == {"link.txt": "unsupported", "a.txt": ""}

    def test_a_file_with_a_password_costs_none_of_the_others(self, look):
        data = bytearray(make_archive({"a.txt": TEXT, "b.txt": TEXT}))
        data[data.index(b"PK\x01\x02") + 8] |= 1  # the directory's flag of the first file
        assert said(look(bytes(data)).members) == {"a.txt": "encrypted", "b.txt": ""}

    def test_a_broken_file_costs_none_of_the_others(self, look):
        data = bytearray(make_archive({"a.txt": TEXT, "b.txt": TEXT}, packed=False))
        data[data.index(TEXT)] ^= 1
        assert said(look(bytes(data)).members) == {"a.txt": "damaged", "b.txt": ""}

    def test_an_archive_that_was_cut_off_yields_what_is_whole(self, look):
        data = make_archive({"a.txt": TEXT, "b.txt": TEXT * 2, "c.bin": random.Random(4).randbytes(5000)})
        cut = data[: data.index(b"PK\x01\x02") - 1000]
        found = look(cut)
        assert said(found.members) == {"a.txt": "", "b.txt": ""}
        assert (found.document, found.code) == (None, "damaged")
        assert look(cut, "b.txt", found.members[1].way).document.text

    @pytest.mark.parametrize("data", [make_docx(), make_xlsx({"Sheet": [["rent"]]}), make_pptx([("Rent", "due")])])
    def test_a_cut_off_document_is_no_archive(self, look, data):
        """Wherever it was cut: a workbook's list of types may stand last in it."""
        end = data.index(b"PK\x01\x02")
        for at in (end, end * 2 // 3, end // 2):
            with pytest.raises(Unread) as caught:
                look(data[:at], "a")
            assert caught.value.code == "damaged"

    @pytest.mark.parametrize(
        "data", [make_archive({}), make_archive({"folder/": b"", "__MACOSX/._a.txt": b"x", ".DS_Store": b"x"})]
    )
    def test_an_archive_without_a_file_is_empty(self, look, data):
        with pytest.raises(Unread) as caught:
            look(data)
        assert caught.value.code == "empty"

    def test_what_archives_hold_that_is_not_read_is_found_all_the_same(self, look):
        assert said(look(make_archive({"a.png": PNG, "inner.zip": make_archive({})})).members) == {
            "a.png": "",
            "inner.zip": "empty",
        }


class TestBombs:
    def test_a_file_that_unpacks_to_far_more_is_not_unpacked(self, look):
        found = look(make_archive({"zeros.txt": bytes(17 * 1024 * 1024), "a.txt": TEXT})).members
        assert said(found) == {"zeros.txt": "zip_bomb", "a.txt": ""}

    def test_files_that_share_their_bytes_are_a_bomb(self, look):
        data = bytearray(make_archive({"a.txt": TEXT * 50, "b.txt": TEXT}))
        second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
        struct.pack_into("<L", data, second + 42, 0)  # the second file's header is the first one's
        with suppress(Unread):  # a newer zipfile refuses the whole
            assert set(said(look(bytes(data)).members).values()) == {"zip_bomb"}

    def test_more_than_may_be_taken_out_is_left_inside(self, look):
        data = make_archive({"a.txt": TEXT * 3, "b.txt": TEXT * 3, "c.txt": TEXT})
        assert said(look(data, members_bytes=5 * len(TEXT)).members) == {"a.txt": "", "b.txt": "too_big", "c.txt": ""}

    def test_a_single_file_over_the_limit_is_left_inside(self, look):
        assert said(look(make_archive({"a.txt": TEXT * 3}), member_bytes=100).members) == {"a.txt": "too_big"}

    def test_files_that_take_too_much_to_reach_are_left_inside(self, look):
        """Each unpacks the archive that holds it anew; what stands beside that costs nothing."""
        inner = make_archive({f"{number}.bin": random.Random(number).randbytes(1000) for number in range(9)})
        data = make_archive({"a.zip": inner, "b.txt": TEXT})
        found = look(data, reaching_bytes=3 * len(inner)).members
        assert [member.code for member in found] == ["", "", "", *["too_big"] * 6, ""]
        mail = bytes(make_message("Hi", {f"{number}.txt": TEXT for number in range(9)}))
        found = look(mail, "a.eml", reaching_bytes=3 * work(mail)).members
        assert [member.code for member in found] == ["", "", "", *["too_big"] * 6]

    def test_a_message_of_short_lines_without_end_is_not_parsed(self, look):
        """A line of two bytes takes sixty to parse."""
        mail = make_mail(text="Hi") + b"a\n" * (MAX_PARSING_BYTES // LINE_BYTES)
        with pytest.raises(Unread) as caught:
            look(mail, "a.eml")
        assert caught.value.code == "too_big"
        found = look(make_archive({"a.eml": mail + random.Random(3).randbytes(90_000).hex().encode(), "b.txt": TEXT}))
        assert said(found.members) == {"a.eml": "too_big", "b.txt": ""}

    def test_with_too_many_files_none_is_taken_also_if_they_are_spread(self, look):
        inner = make_archive({f"{number}.txt": TEXT for number in range(6)})
        data = make_archive({"a.zip": inner, "b.zip": inner})
        assert len(look(data, members=14).members) == 12
        with pytest.raises(Unread) as caught:
            look(data, members=13)
        assert caught.value.code == "too_big"

    def test_archives_of_small_bombs_are_taken_out_up_to_one_sum(self, look):
        """Each is under the ratio, and 200 of them would be 800 MiB."""
        inner = make_archive({f"{number}.txt": bytes(4 * 1024 * 1024) for number in range(20)})
        data = make_archive({f"{number}.zip": inner for number in range(10)})
        codes = Counter(said(look(data, members_bytes=100 * 1024 * 1024).members).values())
        assert codes["too_big"] > 150
        assert codes[""] == 200 - codes["too_big"]

    def test_an_archive_of_archives_of_bombs_unpacks_none(self, look):
        bomb = make_archive({"x.txt": bytes(40 * 1024 * 1024)})
        assert set(said(look(make_archive({f"{n}.zip": bomb for n in range(20)})).members).values()) == {"zip_bomb"}

    def test_more_than_ten_thousand_files_are_too_many(self, look):
        with pytest.raises(Unread) as caught:
            look(make_archive({f"{number}.txt": b"x" for number in range(10_001)}, packed=False))
        assert caught.value.code == "too_big"

    @pytest.mark.parametrize("seed", range(60))
    def test_random_damage_is_files_or_an_outcome(self, look, seed):
        chance = random.Random(seed)
        inner = make_archive({"c.txt": TEXT, "d.eml": bytes(make_message("Hi", {"e.txt": TEXT}))})
        data = bytearray(make_archive({"a.txt": TEXT * 9, "b.zip": inner}, packed=seed % 2 == 0))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(Unread):
            for member in look(bytes(data)).members:
                with suppress(Unread):
                    look(bytes(data), member.name, member.way)


class TestMails:
    def test_what_is_attached_is_found_beside_the_message(self, look):
        data = make_mail(text="See below.", attached=["a.pdf", "b.docx"])
        found = look(data, "rent.eml")
        assert "See below." in found.document.text
        assert found.document.notes == ("2 attachments are documents of their own: a.pdf, b.docx.",)
        assert said(found.members) == {"a.pdf": "", "b.docx": ""}
        assert look(data, "a.pdf", found.members[0].way).document.text == "secret content"

    def test_a_message_in_a_message_is_a_document_and_so_is_what_is_attached_to_it(self, look):
        inner = make_message("The first letter.", {"contract.txt": TEXT})
        data = bytes(make_message("See what she wrote.", {"note.txt": TEXT}, inside=inner))
        found = look(data, "thread.eml")
        assert list(said(found.members)) == ["note.txt", "Rent.eml", "Rent.eml/contract.txt"]
        letter = look(data, "Rent.eml", found.members[1].way)
        assert "The first letter." in letter.document.text
        assert letter.members == ()
        assert look(data, "contract.txt", found.members[2].way).document.text == TEXT.decode().strip()

    def test_a_message_fifty_deep_is_opened_three_deep_too(self, look):
        mail = make_message("deepest", {"x.txt": TEXT})
        for text in range(50):
            mail = make_message(str(text), {}, inside=mail)
        assert [member.code for member in look(bytes(mail), "a.eml").members] == ["", "", "", "too_deep"]

    def test_a_message_that_is_nothing_but_another_has_that_one_attached(self, look):
        head = b"From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n"
        data = head + b"Subject: in\nFrom: x@y.z\n\nHi.\n"
        (member,) = look(data, "a.eml").members
        assert member.name == "in.eml"
        assert "Hi." in look(data, member.name, member.way).document.text

    @pytest.mark.parametrize("name", ["a.eml", "all.zip"])
    def test_a_message_with_a_thousand_and_one_files_is_not_opened(self, look, name):
        """Each would parse it anew; in an archive it costs none of the others, and is named."""
        part = b"--x\nContent-Disposition: attachment; filename=a.txt\n\nhello\n"
        head = b"From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n"
        for count, taken in ((1000, True), (1001, False)):
            mail = head + part * count + b"--x--\n"
            data = mail if name == "a.eml" else make_archive({"a.eml": mail, "b.txt": TEXT})
            if not taken and name == "all.zip":
                assert said(look(data, name).members) == {"a.eml": "too_big", "b.txt": ""}
                continue
            if taken:
                assert len(look(data, name).members) >= count
                continue
            with pytest.raises(Unread) as caught:
                look(data, name)
            assert caught.value.code == "too_big"

    @pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
    @pytest.mark.parametrize("kind", ["rfc822", "global"])
    def test_an_attached_message_is_read_however_it_is_encoded(self, look, kind, encoding):
        """No message may be in base64, and some are."""
        inner = b"Subject: Lease\nFrom: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\n\nThe rent is =900 euros.\n"
        coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring, "8bit": bytes}[encoding](inner)
        head = b"From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nSee."
        told = f"\n--x\nContent-Type: message/{kind}\nContent-Transfer-Encoding: {encoding}\n\n".encode()
        data = head + told + coded + b"\n--x--\n"
        found = look(data, "a.eml")
        assert "Lease.eml" in found.document.notes[0]
        assert list(said(found.members)) == ["Lease.eml"]
        text = look(data, "Lease.eml", found.members[0].way).document.text
        assert text.startswith("Subject: Lease")
        assert "The rent is =900 euros." in text

    def test_a_document_without_a_name_is_attached_too(self, look):
        mail = make_message("Hi", {})
        mail.make_mixed()
        part = EmailMessage()
        part.set_content(make_pdf(["A page."]), maintype="application", subtype="pdf")
        mail.attach(part)
        found = look(bytes(mail), "a.eml")
        assert list(said(found.members)) == ["unnamed"]
        assert "A page." in look(bytes(mail), "unnamed", found.members[0].way).document.text

    @pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/mixed; boundary=nowhere"])
    def test_a_message_whose_parts_cannot_be_told_apart_keeps_its_text(self, look, kind):
        data = f"From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\nContent-Type: {kind}\n\n--y\n\nThe rent is 900.\n--y--\n"
        document = look(data.encode(), "a.eml").document
        assert "The rent is 900." in document.text
        assert "cannot be told apart" in document.notes[0]

    @pytest.mark.parametrize(
        "data",
        [
            b"Subject: Files\nFrom: a@b.c\nTo: d@e.f\nMessage-ID: <1@x>\n\nA PDF begins with %PDF-1.7, you know.\n",
            b"Notes on formats\n\n%PDF-1.4 is what the older ones begin with; startxref ends them.\n",
            "Über Formate:\n%PDF-1.4 steht am Anfang.\n".encode(),
        ],
    )
    def test_a_text_that_speaks_of_pdf_is_no_damaged_one(self, look, data):
        assert "%PDF-1." in look(data, "a").document.text

    @pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf\r\n", b"\0\0rubbish\n", b"HTTP/1.1 200 OK\n\n"])
    def test_a_pdf_behind_rubbish_is_one(self, look, before):
        data = before + make_pdf(["A page."]).replace(b"\n", b"\n%\xe2\xe3\xcf\xd3\n", 1)
        assert "A page." in look(data, "a").document.text

    def test_messages_are_opened_three_deep(self, look):
        mail = make_message("4", {"deepest.txt": TEXT})
        for text in "321":
            mail = make_message(text, {}, inside=mail)
        members = look(bytes(mail), "a.eml").members
        assert [member.code for member in members] == ["", "", "", "too_deep"]

    def test_an_archive_in_a_message_and_a_message_in_an_archive_are_opened(self, look):
        message = bytes(make_message("Hi", {"all.zip": make_archive({"x.txt": TEXT})}))
        assert list(said(look(message, "a.eml").members)) == ["all.zip/x.txt"]
        assert list(said(look(make_archive({"a.eml": message})).members)) == ["a.eml", "a.eml/all.zip/x.txt"]

    def test_pictures_in_the_text_and_signatures_are_no_documents(self, look):
        mail = make_message("Hi", {"a.txt": TEXT})
        mail.add_attachment(PNG, maintype="image", subtype="png", filename="logo.png", disposition="inline")
        mail.add_attachment(b"x", maintype="application", subtype="pkcs7-signature", filename="smime.p7s")
        assert list(said(look(bytes(mail), "a.eml").members)) == ["a.txt"]

    def test_a_message_without_any_text_still_gives_what_is_attached(self, look):
        mail = EmailMessage()
        mail["Message-ID"], mail["MIME-Version"], mail["To"] = "<1@x>", "1.0", "bob@example.org"
        mail.add_attachment(TEXT, maintype="application", subtype="pdf", filename="a.txt")
        found = look(bytes(mail), "a.eml")
        assert list(said(found.members)) == ["a.txt"]
        assert "The message has no text." in found.document.notes


@pytest.mark.parametrize("name", ["", "/", "..", "../..", "\\", "C:", "\x00"])
def test_a_name_of_nothing_is_unnamed(name):
    assert shown(name) == "unnamed"
