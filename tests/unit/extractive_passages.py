"""Passages like those that people send: the texts of the extractive preview's tests."""

SUPPLY_CONTRACT = """SUPPLY AGREEMENT No. 5/2026

This Agreement is made on 4 March 2026 between Brandt & Sons Inc., a company registered in Ohio (the "Supplier"), and
Lakeside Dairies Ltd. (the "Buyer").

1. Subject
1.1 The Supplier shall deliver to the Buyer stainless-steel valves of type V-20, e.g. for pasteurising lines, in the
quantities that the Buyer orders each quarter.

2. Price and payment
2.1 The price of each valve is $412.50. The price is fixed until 31 December 2027.
2.2 Invoices are due within 30 days of receipt. On late payments the Supplier may charge interest of 1.5
percent a month.

3. Warranty
3.1 The Supplier warrants for 24 months that the valves are free of defects in material and workmanship. Defective
valves are repaired or replaced at the Supplier's cost.

4. Term
4.1 This Agreement runs for three years. Either party may terminate it with ninety (90) days' written notice
to the end of a quarter.

Page 1 of 2
"""
REFUSAL_LETTER = """Harbour Insurance plc
22 Quay Street, Bristol BS1 4QA

7 May 2026

Dear Mrs. Okafor,

Your claim 88-1204 of 2 April 2026

Thank you for your letter of 20 April. We are sorry to hear about the damage to your kitchen. Unfortunately
we cannot pay for the new floor, because water that enters through a door left open is not covered by
section 4.2 of your policy. We will, however, pay the electrician's bill of £318.40 in full. You will
receive the money within ten working days.

If you do not agree with this decision, you may write to our complaints department before 7 August 2026.

Yours sincerely,

J. P. Merrick
Claims Department
"""
SURVEY_REPORT = """# Staff survey 2026: results

## Summary
In March 2026 we asked all 640 employees how satisfied they are with their work. 512 of them, or 80 percent,
answered. Overall satisfaction rose from 6.8 to 7.3 on a scale of ten. The largest gain was in the
warehouse, where new shifts were introduced.

## Findings
| Department | 2025 | 2026 |
|------------|------|------|
| Warehouse  | 5.9  | 7.1  |
| Sales      | 7.0  | 7.2  |
| Office     | 7.4  | 7.5  |

Employees praise their colleagues and the flexible hours. They are least satisfied with the canteen and with
the information they receive about changes. One in five says that the workload is too high.

## Recommendations
We recommend that the board publishes a monthly letter to all employees, and that the canteen contract is
put out to tender.
"""
PROJECT_MAIL = """From: Lena Ortiz <lena@northwind.example>
To: Project team <team@northwind.example>
Subject: Launch moved to 14 September
Date: Mon, 3 Aug 2026 16:20:11 +0200

Hi all,

The launch of the new booking site moves from 1 September to 14 September. The payment provider needs two
more weeks to certify our checkout, so there was no way round it. Please do not announce the new date to
customers before Thursday.

Tom will test the checkout again on 20 August. Marketing gets the final texts from me by the end of this week.

Thanks,
Lena

--
Lena Ortiz | Northwind Travel
This e-mail and any attachments are confidential.
"""
INVOICE = """INVOICE
Invoice No. 2026-114
Date: 12 June 2026

Green Thumb Gardens LLC
Bill to: Ashworth Hotel

Description            Qty    Unit price    Amount
Hedge trimming         6 h    $45.00        $270.00
Roses, red             24     $12.50        $300.00
Delivery               1      $35.00        $35.00

Subtotal: $605.00
Sales tax (8%): $48.40
Total due: $653.40

Payment is due by 12 July 2026. Please quote the invoice number with your payment.
"""
MINUTES = """Minutes of the parish council, 9 June 2026

Present: A. Byrne (chair), C. Dale, M. Iqbal, R. Stone
Apologies: T. Webb

1. Playground
The council discussed the state of the playground. The swings are safe, but the climbing frame
has to be replaced. It was agreed to spend up to £7,500 on a new frame. Mr. Dale will get three quotes by
the next meeting.

2. Bus stop
Residents of Elm Road have asked for a shelter. The county will pay half of the cost.

Next meeting: 14 July 2026 at 7.30 p.m. in the village hall.
"""
NEWS = """The old cotton mill on the River
Aire will become a centre for start-ups. The city council approved the plan on Tuesday by 31 votes to 12.
Work on the building, which has stood empty since 1998, is to begin in January and will cost about £24
million. Half of the money comes from the government's fund for former industrial sites.

"This is the best news for the district in thirty years," said Mayor Helen Whitcombe. Critics fear that
rents nearby will rise. The plan foresees 180 small offices, a workshop with machine tools and a café. The
first tenants are expected to move in by the autumn of 2028."""
MANUAL = """Cleaning the coffee machine

Before use, rinse the water tank. Clean the milk nozzle after each day of use, because dried milk blocks it.

Warning: the nozzle is hot. Wait at least ten minutes after the last cup.

1. Switch off the machine and unplug it.
2. Press the two buttons at the side and take out the nozzle.
3. Put the nozzle in warm water with a little detergent for 15 minutes.
4. Rinse it, dry it and push it back until it clicks.

The machine must be descaled every three months. Use only the descaler DX-4; vinegar damages the seals.
"""
ABSTRACT = """Background: Night shifts are linked to poor sleep. We studied whether short naps help nurses
to stay alert. Methods: In a randomised trial at four hospitals, 186 nurses took either a nap of 20 minutes
at 3 a.m. or their usual break. Alertness was measured with a reaction test at 6 a.m. Results: Nurses who
napped reacted 14 percent faster (p < 0.01) and made fewer errors in charting. Sleep on the following day
was not shorter. Conclusion: A short nap improves alertness at the end of a night shift at no cost to later
sleep."""
POLICY = """Travel policy

This policy applies to all employees of Delmar Foods. Trips must be approved by the line manager before they
are booked. Employees travel by train where the journey takes less than five hours. Flights are booked in
economy class. Hotel costs are refunded up to 140 euros a night, breakfast included.

Receipts must be handed in within 30 days after the trip. Costs without a receipt are not refunded. For
trips with a private car the company pays 0.30 euros per kilometre."""
RENTAL_TERMS = """HIRE OF THE BOATHOUSE - TERMS

- The boathouse may be hired from April to October, e.g. for weddings and meetings.
- The hall seats 80 guests. Music must end at 11 p.m.
- A deposit of EUR 300 is paid when booking; it is returned after the event if nothing is damaged.
- Cancellation is free of charge up to six weeks before the event.
- Dogs are not allowed in the building.
"""
TABLE_ONLY = """Stock on 1 May 2026

Article      Warehouse A    Warehouse B
Bolts M8     12,400         3,100
Nuts M8      9,950          4,020
Washers      15,300         7,600
"""
